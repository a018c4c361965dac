-- Pages of any list (paging.py).

-- name: sized
-- {rows}, a page's and one more, without those that a page has no room for: of these only the first is left, or the
-- second row, so that it is known that there are more. `page_is_full` is true of what has no room. The lengths are those of
-- the rows as text, each written once (OFFSET 0).
SELECT * FROM (
    SELECT page.*, sum(size) OVER (ROWS UNBOUNDED PRECEDING) > %s AS page_is_full,
           coalesce(sum(size) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS page_before,
           row_number() OVER () AS page_row
    FROM ({rows}) AS page ({columns}), LATERAL (SELECT octet_length(page::text) AS size OFFSET 0) AS sized
) AS page
WHERE page_row <= 2 OR page_before <= %s
ORDER BY page_row;
