-- Pages of any list (limits.py).

-- name: sized
-- {rows} (those of a page and one more) without the rows beyond the limit of bytes, except the first of these or the second
-- row, which shows that there are more. `page_is_full` is true for rows beyond the limit. The lengths are those of the rows
-- as text, each converted once (OFFSET 0).
SELECT * FROM (
    SELECT page.*, sum(size) OVER (ROWS UNBOUNDED PRECEDING) > %s AS page_is_full,
           coalesce(sum(size) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS page_before,
           row_number() OVER () AS page_row
    FROM ({rows}) AS page ({columns}), LATERAL (SELECT octet_length(page::text) AS size OFFSET 0) AS sized
) AS page
WHERE page_row <= 2 OR page_before <= %s
ORDER BY page_row;
