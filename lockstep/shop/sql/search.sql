-- What is searched: one row a product with the lexemes of its name, description and tags, kept by triggers in the
-- transaction of whoever writes, so that everybody finds what they have just written. The words that misspelt ones are held
-- against are learnt a moment later by a worker: two writers of the same new words would wait for each other.

-- name: index
-- Writes the rows of these products anew. `simple`: a shop's words are names, and stemming one language hurts the others.
CREATE FUNCTION shop_index(products uuid[]) RETURNS void LANGUAGE sql AS $$
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
    ), entries AS (
        INSERT INTO shop_searchentry (product_id, document)
        SELECT id, to_tsvector('simple', name || ' ' || tags || ' ' || description) FROM texts
        ON CONFLICT (product_id) DO UPDATE SET document = excluded.document
    )
    INSERT INTO shop_unlearntproduct (product_id) SELECT id FROM texts ON CONFLICT DO NOTHING
$$;

-- name: query
-- The query that all words are a part of. The last one may be only begun; one that no product is known to have stands for
-- those most like it, too. Begun words by range and not by LIKE, whose index needs to see the pattern when it is planned.
CREATE FUNCTION shop_query(words text[]) RETURNS tsquery LANGUAGE sql STABLE
SET pg_trgm.similarity_threshold = 0.2 AS $$
    SELECT string_agg('(' || concat_ws(' | ', quote_literal(given) || CASE WHEN is_last THEN ':*' ELSE '' END, alike) || ')',
                      ' & ')::tsquery
    FROM (
        SELECT given, position = cardinality(words) AS is_last FROM unnest(words) WITH ORDINALITY AS w (given, position)
    ) AS asked
    LEFT JOIN LATERAL (
        SELECT string_agg(quote_literal(word), ' | ') AS alike
        FROM (
            SELECT w.word FROM shop_searchword w WHERE w.word % given
            ORDER BY similarity(w.word, given) DESC, w.word LIMIT 5
        ) AS most
        WHERE length(given) > 2 AND NOT EXISTS (
            SELECT FROM shop_searchword w
            WHERE w.word ~>=~ given AND w.word ~<~ (given || CASE WHEN is_last THEN U&'\+10FFFF' ELSE ' ' END))
    ) AS likely ON true
$$;

-- name: ask
SELECT shop_query(%s)::text AS query;

-- name: learn
-- The words of at most so many products that were written lately; how many products there were.
WITH taken AS (
    DELETE FROM shop_unlearntproduct WHERE product_id IN (
        SELECT product_id FROM shop_unlearntproduct LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING product_id
), words AS (
    INSERT INTO shop_searchword (word)
    SELECT DISTINCT word
    FROM taken JOIN shop_searchentry e USING (product_id), unnest(tsvector_to_array(e.document)) AS word
    WHERE length(word) BETWEEN 3 AND 40
    ORDER BY word
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS count FROM taken;
