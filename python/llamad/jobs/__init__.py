"""What is asked of a model, and what becomes of it: each `Job` is one prompt or conversation on its way.

A job prepares a request, makes a result of what was generated, and says what is to be asked next, where the
model has called tools. It submits nothing and waits for nothing: that is `Engine`'s and `AsyncEngine`'s part.
"""

from .chat import ChatJob, chat_job, chat_jobs
from .completion import CompletionJob, completion_job, completion_jobs
from .inputs import is_one_conversation, is_one_prompt
from .job import Job
from .reader import ChatReader
from .toolbox import Tool, ToolChoice

__all__ = [
    "ChatJob",
    "ChatReader",
    "CompletionJob",
    "Job",
    "Tool",
    "ToolChoice",
    "chat_job",
    "chat_jobs",
    "completion_job",
    "completion_jobs",
    "is_one_conversation",
    "is_one_prompt",
]
