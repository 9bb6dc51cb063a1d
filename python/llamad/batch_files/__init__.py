"""Files of requests, answered as the server answers them, into files of answers; OpenAI's batch format.

Nothing listens meanwhile: each line goes through the server's own application in this process. Whatever
ends a run, the next one goes on behind it: a line of answers is either whole or, at the end of the file,
half of one, which is cut off; and each says by its `id` which line of requests it answers.
"""
