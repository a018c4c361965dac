-- What is searched: one row a product with the lexemes of its name, description and tags, kept by triggers in the
-- transaction of whoever writes, so that everybody finds what they have just written. The words that misspelt ones are held
-- against are learnt a moment later by a worker: two writers of the same new words would wait for each other.

-- name: plain
-- A text as its words, folded like every text that is compared (changes/sql/folding.sql): the indexed text and the query
-- go through here alike. Without the blanks PostgreSQL takes black/white for a path and shop.example for a host, each
-- one word. What is punctuation is known whatever the database's locale: by PostgreSQL's own collation from 17 on, by ICU's
-- before. A lexeme's vector has room for some 100,000 characters, and folding may make one to eighteen.
DO $do$ BEGIN EXECUTE format($format$
    CREATE FUNCTION shop_plain(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT regexp_replace(left(lockstep_fold(left(given, 100000)), 100000) COLLATE %I,
                              '[[:punct:][:space:]]+', ' ', 'g')
    $$
$format$, coalesce((SELECT min(collname) FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')), 'default')); END $do$

-- name: index
-- Writes the rows of these products anew. `simple`: a shop's words are names, and stemming one language hurts the others.
-- Without places: nobody asks where a word stands, and the table is a quarter smaller.
-- First it holds the products' places among those to be looked through: no worker looks before this transaction is over,
-- and whoever writes another word of the same product meanwhile waits here, and then reads what this one wrote.
CREATE FUNCTION shop_index(products uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop_unlearntproduct (product_id) SELECT DISTINCT id FROM unnest(products) AS id ORDER BY id
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
-- The query that the first words of a text are a part of; nothing where it has none. The last one may be only begun; one
-- that no product is known to have stands for those most like it, too, unless it has a digit: codes are not guessed.
-- Words go through the dictionary that indexed ones went through: in some locales it lowers letters that folding leaves.
-- Begun words by range and not by LIKE, whose index needs to see the pattern when it is planned.
CREATE FUNCTION shop_query(given text, most int) RETURNS tsquery LANGUAGE sql STABLE
SET pg_trgm.similarity_threshold = 0.2 AS $$
    SELECT string_agg('(' || concat_ws(' | ', quote_literal(word) || CASE WHEN is_last THEN ':*' ELSE '' END, alike) || ')',
                      ' & ')::tsquery
    FROM (
        SELECT (ts_lexize('simple', token))[1] AS word, position = max(position) OVER () AS is_last
        FROM ts_parse('default', shop_plain(given)) WITH ORDINALITY AS parsed (kind, token, position)
        WHERE kind <> 12  -- what lies between words
        ORDER BY position LIMIT most
    ) AS asked
    LEFT JOIN LATERAL (
        SELECT string_agg(quote_literal(like_it), ' | ') AS alike
        FROM (
            SELECT w.word AS like_it FROM shop_searchword w WHERE w.word % asked.word
            ORDER BY similarity(w.word, asked.word) DESC, w.word LIMIT 5
        ) AS most_like_it
        WHERE length(asked.word) > 2 AND asked.word !~ '[0-9]' AND NOT EXISTS (
            SELECT FROM shop_searchword w
            WHERE w.word ~>=~ asked.word
              AND w.word ~<~ (asked.word || CASE WHEN is_last THEN U&'\+10FFFF' ELSE ' ' END))
    ) AS likely ON true
$$;

-- name: ask
SELECT shop_query(%s, %s)::text AS query;

-- name: learn
-- The words of at most so many products that were written lately; how many products there were.
WITH taken AS (
    DELETE FROM shop_unlearntproduct WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM shop_unlearntproduct LIMIT %s FOR UPDATE SKIP LOCKED))
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

-- name: forget
-- The words that no product has any more. Whoever learns waits meanwhile: see `alone`.
DELETE FROM shop_searchword w
WHERE NOT EXISTS (SELECT FROM ts_stat('SELECT document FROM shop_searchentry') s WHERE s.word = w.word);

-- name: alone
LOCK TABLE shop_searchword IN SHARE ROW EXCLUSIVE MODE;
