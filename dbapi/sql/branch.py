"""The statement that reads a branch, without a library: turns.py runs it with asyncpg, messages.py with SQLAlchemy."""

import re

# From a message up to the root, oldest first. The text of an unfinished answer comes from the log, with its log
# position in the same snapshot, so that a viewer can continue from exactly there.
# Each message is looked up by its id, and its siblings by their parent's id. No index serves IS NOT DISTINCT FROM, and
# OFFSET 0 keeps a lookup from becoming another join: otherwise the planner may read the whole chat once per message.
NUMBERED = """
WITH RECURSIVE branch AS (
  SELECT m.*, 1 AS height FROM messages m
   WHERE m.session_id IS NOT DISTINCT FROM $1 AND m.chat_id IS NOT DISTINCT FROM $2 AND m.id = $3
     AND EXISTS (SELECT FROM chats c WHERE c.session_id = $1 AND c.id = $2 AND c.deleted_at IS NULL)
  UNION ALL
  SELECT parent.*, branch.height + 1 FROM branch CROSS JOIN LATERAL (
    SELECT m.* FROM messages m
     WHERE m.session_id IS NOT DISTINCT FROM $1 AND m.chat_id IS NOT DISTINCT FROM $2
       AND m.id = branch.parent_id OFFSET 0
  ) parent WHERE branch.height < $4
)
SELECT b.id, b.parent_id, b.role, b.status, b.error, b.model, b.usage, b.timings, b.created_at,
       CASE WHEN g.live THEN coalesce(log.content, '') ELSE b.content END AS content,
       CASE WHEN g.live THEN coalesce(log.reasoning, '') ELSE b.reasoning END AS reasoning,
       g.id AS generation_id, coalesce(g.last_seq, 0) AS last_seq, coalesce(log.fence, 0) AS fence, g.finish_reason,
       CASE WHEN b.parent_id IS NULL THEN
         ARRAY(SELECT s.id FROM messages s WHERE s.session_id = $1 AND s.chat_id = $2 AND s.parent_id IS NULL
                  AND s.role = b.role ORDER BY s.position)
       ELSE
         ARRAY(SELECT s.id FROM messages s
                WHERE s.session_id IS NOT DISTINCT FROM $1 AND s.chat_id IS NOT DISTINCT FROM $2
                  AND s.parent_id = b.parent_id AND s.role = b.role ORDER BY s.position)
       END AS siblings
  FROM branch b
  LEFT JOIN LATERAL (
    SELECT *, status IN ('queued', 'streaming') AS live FROM generations
     WHERE session_id IS NOT DISTINCT FROM $1 AND message_id = b.id OFFSET 0
  ) g ON b.role = 'assistant'
  LEFT JOIN LATERAL (
    SELECT max(c.fence) FILTER (WHERE c.seq = g.last_seq) AS fence,
           string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 0) AS content,
           string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 1) AS reasoning
      FROM generation_chunks c
     WHERE c.generation_id = g.id
       AND c.seq > (SELECT coalesce(max(v.seq), 0) - 1 FROM generation_chunks v
                     WHERE v.generation_id = g.id AND v.kind = 2)
  ) log ON g.live
 ORDER BY b.height DESC
"""
_NAMES = {
    "$1": "CAST(:session_id AS uuid)",
    "$2": "CAST(:chat_id AS uuid)",
    "$3": "CAST(:tip_id AS uuid)",
    "$4": "CAST(:limit AS integer)",
}
NAMED = re.sub(r"\$\d", lambda number: _NAMES[number[0]], NUMBERED)
