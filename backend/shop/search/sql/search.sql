-- The search index: one row per product with the lexemes of its name, description and tags, maintained by triggers in the
-- writing transaction, so that a committed product is found at once. A worker adds spelling terms to the vocabulary a moment
-- later: otherwise two writers of the same new words would wait for each other.

-- name: plain
-- A text as its words, folded like every text that is compared (backend/entities/sql/folding.sql): the indexed text and
-- the query go through here alike. Without the blanks PostgreSQL takes black/white for a path and shop.example for a host, each
-- one word. What is punctuation is known whatever the database's locale: by PostgreSQL's own collation from 17 on, by ICU's
-- before. A lexeme's vector has room for some 100,000 characters, and folding may make one to eighteen.
DO $do$ BEGIN EXECUTE format($format$
    CREATE OR REPLACE FUNCTION shop_plain(source text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT regexp_replace(left(lockstep_fold(left(source, 100000)), 100000) COLLATE %I,
                              '[[:punct:][:space:]]+', ' ', 'g')
    $$
$format$, coalesce((SELECT min(collname) FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')), 'default')); END $do$

-- name: index
-- Writes the rows of these products. `simple`: a shop's words are names, and stemming one language harms the others.
-- Without positions, which are not used: the table is a quarter smaller.
-- First it locks the products' rows in the queue of the vocabulary: no worker processes them before this transaction ends,
-- and a concurrent write of the same product waits here, and then reads the committed words.
CREATE OR REPLACE FUNCTION shop_index(products uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop_pendingvocabulary (product_id) SELECT DISTINCT id FROM unnest(products) AS id ORDER BY id
    ON CONFLICT (product_id) DO UPDATE SET product_id = excluded.product_id;
    WITH texts AS MATERIALIZED (
        SELECT p.id, p.name, p.description,
               (SELECT coalesce(string_agg(t.name, ' '), '')
                FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
                WHERE l.product_id = p.id AND l.deleted IS NULL AND t.deleted IS NULL) AS tags
        FROM shop_product p WHERE p.id = ANY (products) AND p.deleted IS NULL
        ORDER BY p.id
    ), gone AS (
        DELETE FROM shop_searchentry e
        WHERE e.product_id = ANY (products) AND NOT EXISTS (SELECT FROM texts WHERE texts.id = e.product_id)
    )
    INSERT INTO shop_searchentry (product_id, document)
    SELECT id, strip(to_tsvector('simple', shop_plain(name || ' ' || tags || ' ' || description))) FROM texts
    ON CONFLICT (product_id) DO UPDATE SET document = excluded.document;
$$;

-- name: query
-- The query of the first words of a text; NULL without words. The last word is a prefix. A word that is not in the vocabulary
-- matches the most similar spelling terms, too, unless it has a digit: codes are not guessed.
-- Words go through the dictionary that indexed ones went through: in some locales it lowers letters that folding leaves.
-- Prefixes by range and not by LIKE, whose index needs the pattern at planning time.
-- pg_trgm is loaded first: before that its parameter is unknown to a session, and only a superuser could name it.
SELECT show_limit();
CREATE OR REPLACE FUNCTION shop_query(source text, max_words int) RETURNS tsquery LANGUAGE sql STABLE
SET pg_trgm.similarity_threshold = 0.2 AS $$
    SELECT string_agg('(' || concat_ws(' | ', quote_literal(word) || CASE WHEN is_last THEN ':*' ELSE '' END, alike) || ')',
                      ' & ')::tsquery
    FROM (
        SELECT (ts_lexize('simple', token))[1] AS word, position = max(position) OVER () AS is_last
        FROM ts_parse('default', shop_plain(source)) WITH ORDINALITY AS parsed (kind, token, position)
        WHERE kind <> 12  -- what lies between words
        ORDER BY position LIMIT max_words
    ) AS words
    LEFT JOIN LATERAL (
        SELECT string_agg(quote_literal(term), ' | ') AS alike
        FROM (
            SELECT w.word AS term FROM shop_searchword w WHERE w.word % words.word
            ORDER BY similarity(w.word, words.word) DESC, w.word LIMIT 5
        ) AS most_similar
        WHERE length(words.word) > 2 AND words.word !~ '[0-9]' AND NOT EXISTS (
            SELECT FROM shop_searchword w
            WHERE w.word ~>=~ words.word
              AND w.word ~<~ (words.word || CASE WHEN is_last THEN U&'\+10FFFF' ELSE ' ' END))
    ) AS likely ON true
$$;

-- name: parse_query
SELECT shop_query(%s, %s)::text AS query;

-- name: index_vocabulary
-- Adds the words of at most so many queued products. Returns the number of products.
WITH taken AS (
    DELETE FROM shop_pendingvocabulary WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM shop_pendingvocabulary LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING product_id
), words AS (
    INSERT INTO shop_searchword (word)
    SELECT DISTINCT word
    FROM taken JOIN shop_searchentry e USING (product_id), unnest(tsvector_to_array(e.document)) AS word
    WHERE length(word) BETWEEN 3 AND 40 AND word !~ '[0-9]'
    ORDER BY word
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS count FROM taken;

-- name: prune_vocabulary
-- Removes words without products. `index_vocabulary` waits meanwhile: see `lock_vocabulary`.
DELETE FROM shop_searchword w
WHERE NOT EXISTS (SELECT FROM ts_stat('SELECT document FROM shop_searchentry') s WHERE s.word = w.word);

-- name: lock_vocabulary
LOCK TABLE shop_searchword IN SHARE ROW EXCLUSIVE MODE;
