DROP TRIGGER words_of_new ON messages;
DROP TRIGGER words_of_changed ON messages;
DROP FUNCTION store_words, find_messages, fill_words;
DROP TABLE message_words, message_words_progress;
DROP FUNCTION words_of;
DROP TEXT SEARCH CONFIGURATION runnel;
DROP EXTENSION btree_gin, unaccent;
