"""What each field means, in a sentence: for the API's description and its page.

A name means the same wherever it stands; where an endpoint differs, its own sentence is under
"endpoint:name".
"""

from __future__ import annotations

_HELP = {
    # What is asked, and of whom.
    "model": "Id of the model, as `GET /v1/models` lists it.",
    "messages": "The conversation. A last message of the assistant is continued.",
    "prompt": "A text, a list of texts, a list of token ids, or a list of such lists; each is completed.",
    "suffix": "The text after the gap: the prompt is what stands before it, and the answer fills it.",
    "input": "What to embed: a text, a list of texts, a list of token ids, or a list of such lists.",
    "query": "What the documents are ranked by.",
    "documents": "The texts to rank.",
    "content": "The text to tokenize.",
    "tokens": "The token ids to turn into text.",
    "force": "Unload it also while it is loaded or used; what runs ends with an error.",
    # How much.
    "max_tokens": "Most tokens to generate; until the context is full where it is absent.",
    "completions:max_tokens": "Most tokens to generate, 16 where it is absent; 0 is allowed with `echo`.",
    "max_completion_tokens": "The newer name of `max_tokens`, over which it wins.",
    "min_tokens": "No end-of-generation token before so many tokens; a stop string still ends the text.",
    "n": "How many choices for each prompt, which is computed once; each next one has the next seed.",
    "best_of": "Generate so many for each prompt and return the `n` with the highest mean log-probability.",
    "top_n": "Return only so many documents, the best ones.",
    "dimensions": "Shorten each embedding to its first so many numbers, of length one again.",
    # What comes back.
    "stream": "Answer with server-sent events as the text comes.",
    "stream_options": "With `stream`: what the stream tells besides text.",
    "stream_options.include_usage": "End with a chunk of token counts.",
    "stream_options.continuous_usage_stats": "Token counts in every chunk.",
    "stream_options.include_obfuscation": "Accepted: there is no padding to leave out.",
    "echo": "Begin each text with its prompt; with `logprobs`, also score the prompt.",
    "logprobs": "Return the log-probability of each token.",
    "completions:logprobs": "Return the log-probability of each token, and of so many likeliest ones.",
    "top_logprobs": "With `logprobs`: also of so many likeliest tokens at each place.",
    "return_token_ids": "Return the token ids of prompt and text.",
    "return_documents": "Repeat the documents in the results.",
    "return_text": "Repeat the documents in the results.",
    "encoding_format": "`float`, or `base64` of little-endian 32-bit floats.",
    "with_pieces": "Tell each token's text as well.",
    "return_token_strs": "Tell each token's text as well.",
    # What the answer must look like.
    "response_format": "`text`, `json_object`, or `json_schema`: the answer then is JSON of that schema.",
    "json_schema": "A JSON Schema that the answer is to fit.",
    "grammar": "A grammar (GBNF) that the answer is to fit.",
    "guided_json": "A JSON Schema that the answer is to fit, as an object or as text.",
    "guided_choice": "The texts of which the answer is one.",
    "guided_regex": "A regular expression that the whole answer matches.",
    "guided_grammar": "A grammar (GBNF) that the answer is to fit.",
    "structured_outputs": "What the answer fits: one of `json`, `json_object`, `choice`, `regex`, `grammar`.",
    "stop": "Up to 64 texts that end the generation; they are no part of it.",
    "ignore_eos": "Never end on an end-of-generation token.",
    # Tools and templates.
    "tools": "The functions that the model may call.",
    "tool_choice": "Whether it may call them (`auto`), must (`required`), must not (`none`), or which one.",
    "parallel_tool_calls": "Whether one answer may make several calls.",
    "chat_template": "A Jinja template instead of the model's own, where the server runs with "
    "`--trust-request-chat-template`.",
    "chat_template_kwargs": "Variables for the template, such as `enable_thinking`.",
    "add_generation_prompt": "Whether the template opens the assistant's turn.",
    "continue_final_message": "Whether the last message, of the assistant, is continued.",
    "reasoning_effort": "How much to think, where the template knows of it.",
    "reasoning_format": "`none` leaves the model's thoughts in the content, `auto` puts them into "
    "`reasoning_content`.",
    # How to sample.
    "temperature": "0 always takes the likeliest token; higher is more random.",
    "top_p": "Keep the likeliest tokens whose probabilities add up to this; 1 is off.",
    "top_k": "Keep so many likeliest tokens; 0 or -1 keeps all.",
    "min_p": "Drop tokens less likely than this times the likeliest; 0 is off.",
    "typical_p": "Locally typical sampling; 1 is off.",
    "seed": "Of the random generator: the same seed gives the same text.",
    "logit_bias": "Token id (as a string) to what is added to its logit, -100 to 100.",
    "frequency_penalty": "Subtracted from a token's logit for each time it occurred.",
    "presence_penalty": "Subtracted from a token's logit once it has occurred.",
    "repeat_penalty": "Divides the logits of recent tokens; 1 is off.",
    "repetition_penalty": "Another name of `repeat_penalty`, which wins.",
    "repeat_last_n": "How many recent tokens the penalties look at; -1: all.",
    "dry_multiplier": "Strength of the DRY repetition penalty; 0 is off.",
    "dry_base": "Base of DRY's growth with the length of the repetition.",
    "dry_allowed_length": "Repetitions up to this length are free.",
    "dry_penalty_last_n": "How many recent tokens DRY looks at; -1: all.",
    "dry_sequence_breakers": "Texts that end a repetition for DRY.",
    "xtc_probability": "Chance of leaving out the top choices (XTC); 0 is off.",
    "xtc_threshold": "XTC leaves out tokens at least this likely, but the least likely of them.",
    "mirostat": "1 or 2: Mirostat instead of the other filters; 0 is off.",
    "mirostat_tau": "Mirostat's target entropy.",
    "mirostat_eta": "Mirostat's learning rate.",
    # When it is computed, and for whom.
    "user": "Who asks: users share the slots evenly.",
    "embeddings:user": "Accepted: the inputs of all callers share the batches evenly.",
    "rerank:user": "Accepted: the documents of all callers share the batches evenly.",
    "priority": "Lower goes first.",
    "timeout": "Seconds until the request is given up.",
    "cache_salt": "Computed prefixes are shared between equal salts only.",
    "prompt_cache_key": "Accepted: every computed prefix is found again without a key.",
    "prompt_cache_retention": "Accepted: prefixes are kept as long as there is room.",
    "safety_identifier": "Accepted, and changes nothing.",
    "service_tier": "Accepted, and changes nothing.",
    "store": "Accepted: nothing is stored.",
    "metadata": "Accepted, and changes nothing.",
    "verbosity": "Accepted, and changes nothing.",
    "prediction": "Accepted, and changes nothing.",
    # Of tokenizing.
    "add_special": "Add the tokens that the model begins its input with.",
    "add_special_tokens": "Add the tokens that the model begins its input with.",
    "parse_special": "Take the text of control tokens for those tokens.",
    "tokenize:prompt": "The text to tokenize, as vLLM's clients send it.",
    # Not served.
    "functions": "The predecessor of `tools`.",
    "function_call": "The predecessor of `tool_choice`.",
    "modalities": "Anything but text.",
    "audio": "Spoken answers.",
    "web_search_options": "Web search.",
    "stop_token_ids": "Ending on a token id.",
    "allowed_token_ids": "Only some tokens; `logit_bias` can favour them.",
    "bad_words": "Forbidden words; `logit_bias` can forbid tokens.",
    "include_stop_str_in_output": "The stop string as part of the text.",
    "skip_special_tokens": "Control tokens as part of the text.",
    "use_beam_search": "Beam search.",
    "chat:echo": "Repeating the prompt.",
    "chat:documents": "Retrieval.",
    "chat:best_of": "Only `n` itself: choices are not ranked here.",
}


def field_help(endpoint: str, name: str) -> str:
    """Return the sentence about a field.

    Args:
        endpoint: such as "chat"; see the keys above.
        name: of the field; of a nested one, its path.

    Raises:
        KeyError: nobody has written one.
    """
    return _HELP.get(f"{endpoint}:{name}") or _HELP[name]
