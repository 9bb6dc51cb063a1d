// What the official JavaScript client makes of a server's answers: one line of JSON per case.
//
// node cases.mjs BASE_URL MODEL
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 90_000 });
const messages = [{ role: "user", content: "What is the capital of Japan?" }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      strict: true,
      parameters: {
        type: "object",
        properties: { city: { type: "string", enum: ["Paris", "Tokyo"] } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  },
];
const forced = { type: "function", function: { name: "get_weather" } };

const cases = {
  async whole() {
    const completion = await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 24 });
    const [choice] = completion.choices;
    return { text: choice.message.content, finish_reason: choice.finish_reason, usage: completion.usage };
  },

  async streamed() {
    const stream = await client.chat.completions.create({
      model,
      messages,
      temperature: 0,
      max_tokens: 24,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = [];
    let finish_reason, usage;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      finish_reason = chunk.choices[0]?.finish_reason ?? finish_reason;
      texts.push(chunk.choices[0]?.delta?.content ?? "");
    }
    return { text: texts.join(""), pieces: texts.filter(Boolean).length, finish_reason, usage };
  },

  async structured() {
    const schema = {
      type: "object",
      properties: { capital: { type: "string", enum: ["Tokyo", "Kyoto"] }, sure: { type: "boolean" } },
      required: ["capital", "sure"],
      additionalProperties: false,
    };
    const completion = await client.chat.completions.parse({
      model,
      messages,
      temperature: 0,
      max_tokens: 64,
      response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
    });
    return JSON.parse(completion.choices[0].message.content);
  },

  async tool() {
    const completion = await client.chat.completions.create({
      model,
      messages,
      tools,
      tool_choice: forced,
      temperature: 0,
      max_tokens: 64,
    });
    const [choice] = completion.choices;
    const [call] = choice.message.tool_calls;
    return {
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
      finish_reason: choice.finish_reason,
    };
  },

  async streamed_tool() {
    const runner = client.chat.completions.stream({
      model,
      messages,
      tools,
      tool_choice: forced,
      temperature: 0,
      max_tokens: 64,
    });
    const completion = await runner.finalChatCompletion();
    const [call] = completion.choices[0].message.tool_calls;
    return { id: call.id, name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  },

  async completion() {
    const prompt = "The capital of France is";
    const completion = await client.completions.create({ model, prompt, temperature: 0, max_tokens: 4 });
    return { text: completion.choices[0].text };
  },

  async models() {
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    return { ids, retrieved: (await client.models.retrieve(model)).id };
  },

  async errors() {
    const bad = await failure(client.chat.completions.create({ model, messages, temperature: -1 }));
    const missing = await failure(client.chat.completions.create({ model: "absent", messages }));
    return { bad, missing };
  },

  async timeout() {
    const endless = { model, messages, max_tokens: 2000, ignore_eos: true };
    return await failure(client.chat.completions.create(endless, { timeout: 300 }));
  },

  async aborted() {
    const endless = { model, messages, max_tokens: 2000, ignore_eos: true, stream: true };
    const stream = await client.chat.completions.create(endless);
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 3) break;
    return { chunks };
  },
};

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { class: error.constructor.name, status: error.status ?? null, param: error.param ?? null };
  }
  return { class: null };
}

for (const [name, run] of Object.entries(cases)) {
  let outcome;
  try {
    outcome = await run();
  } catch (error) {
    outcome = { failed: String(error) };
  }
  console.log(JSON.stringify({ case: name, ...outcome }));
}
