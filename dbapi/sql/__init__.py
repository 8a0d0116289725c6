"""All SQL of this service, in functions named after the question.

Each file uses one library: chats.py, messages.py and sessions.py use SQLAlchemy, turns.py and log.py use asyncpg. Every
answer needs the latter, and a short transaction through SQLAlchemy costs about four times the CPU. connection.py opens
the connections of both; branch.py holds a statement that both use, as text.
"""
