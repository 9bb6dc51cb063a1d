"""What flags and commands of llama-server, vLLM and Ollama are called here, or why there is none."""

from __future__ import annotations

_FILE = "a model is a file of --model-directory; --preload-model NAME loads it at startup"
_TABLE = 'it is a key of a table [models."NAME"] in models.toml'
_SAMPLING = 'requests say it, and for those that do not a table [models."NAME".sampling] in models.toml'
_ALWAYS = "it is always on"

FLAGS = {
    "-m --model": _FILE,
    "-hf -hfr -hff --hf-repo --hf-file": "llamad pull hf:org/repo/file.gguf fetches a model",
    "--models-dir": "it is called --model-directory here",
    "--gpu-memory-utilization --models-max": "--memory-budget says how much is loaded at once",
    "--sleep-idle-seconds": "it is called --keep-alive here",
    "--max-model-len": "it is called --n-ctx here",
    "--max-num-seqs": "it is called --n-parallel here",
    "--max-num-batched-tokens": "it is called --n-batch here",
    "-tp --tensor-parallel-size": "--split-mode tensor splits every layer",
    "-v --verbose -lv --verbosity --log-verbosity": "--log-level debug logs everything",
    "-a --alias --served-model-name": f"{_TABLE}: aliases",
    "--lora --lora-scaled --lora-modules --enable-lora": f"{_TABLE}: lora_adapters",
    "--chat-template --chat-template-file": f"{_TABLE}: chat_template_file",
    "-n --predict --n-predict": f"{_SAMPLING}: max_tokens",
    "--temp --temperature --top-k --top-p --min-p --repeat-penalty -s --seed": _SAMPLING,
    "--metrics --slots": f"{_ALWAYS}, at --monitor-port",
    "-cb --cont-batching --cache-prompt --cache-reuse --enable-prefix-caching --jinja --mmap": _ALWAYS,
    "--embedding --embeddings --rerank --reranking --pooling": "what a model is for is read from its file",
    "--enable-auto-tool-choice --tool-call-parser --reasoning-parser": "the model's chat template decides",
    "--no-mmap --mlock": "weights are mapped from their files",
    "-mm --mmproj": "models read text alone here",
    "-md --model-draft --draft --speculative-config": "there is no speculative decoding here",
}
"""Names with blanks between them, and what to say of each."""

_COMMANDS = {
    "run": "llamad chat MODEL talks to a model",
    "list ls ps show": "GET /v1/models of a server tells it",
    "rm": "a model is a file of the model directory",
    "start": "llamad serve serves",
}


def hint(argument: str) -> str:
    """Return "; …", what to say instead of an unknown flag or command, or "" where that is not known."""
    if argument.endswith(".gguf"):
        return f"; {_FILE}"
    known = FLAGS | _COMMANDS
    return next((f"; {text}" for names, text in known.items() if argument in names.split()), "")
