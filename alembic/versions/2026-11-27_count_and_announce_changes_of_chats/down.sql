DROP TRIGGER announce_end ON generations;
DROP FUNCTION announce_end;
DROP TRIGGER announce ON chats;
DROP FUNCTION announce_chat;
ALTER TABLE chats DROP COLUMN revision;
