"""The best plain SQL that was found for the answer of each read: by hand, for exactly this request, as one statement,
on the tables as they are, sums and counts included.
"""

PAGE = 100
AROUND = 50
SHOWN = 50
MOVERS = 10
LOOKED_AT = 20_000
"""As many as query looks at. Without it PostgreSQL expects too few matches, and reads all leads: 240 ms, not 1."""
COMPANIES = 50

ENTRY = (
    "lead_id, score, engagement, fit, grade, version, last_event_at, status, owner, machine_score,"
    " profile->'name' AS name, profile->'company' AS company"
)
LEAD = (
    "l.lead_id, l.score, l.engagement, l.fit, l.grade, l.version, l.profile, l.status, l.owner, l.source,"
    " l.machine_score, l.event_count, l.model_version, l.first_event_at, l.last_event_at, l.updated_at"
)
RANKED = """
, ranks AS (
    SELECT score, sum(sum(leads)) OVER (ORDER BY score DESC) - sum(leads) + 1 AS rank, sum(sum(leads)) OVER () AS total
    FROM score_counts WHERE tenant_id = %(tenant)s GROUP BY score
)
SELECT page.*, rank, total FROM page JOIN ranks USING (score) ORDER BY score DESC, lead_id
"""
TOP = f"""
WITH page AS MATERIALIZED (
    SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s ORDER BY score DESC, lead_id LIMIT {PAGE}
) {RANKED}
"""
BEHIND = f"""
    (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s AND score = %(score)s AND lead_id > %(lead)s
     ORDER BY lead_id LIMIT {{limit}})
    UNION ALL
    (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s AND score < %(score)s
     ORDER BY score DESC, lead_id LIMIT {{limit}})
"""
DEEP = f"WITH page AS MATERIALIZED (SELECT * FROM ({BEHIND.format(limit=PAGE)}) LIMIT {PAGE}) {RANKED}"
AROUND_LEAD = f"""
WITH found AS (SELECT score FROM leads WHERE tenant_id = %(tenant)s AND lead_id = %(lead)s), page AS MATERIALIZED (
    SELECT * FROM (
        (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s
             AND score = (SELECT score FROM found) AND lead_id < %(lead)s ORDER BY lead_id DESC LIMIT {AROUND // 2})
        UNION ALL
        (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s
             AND score > (SELECT score FROM found) ORDER BY score, lead_id DESC LIMIT {AROUND // 2})
        LIMIT {AROUND // 2})
    UNION ALL
    SELECT * FROM (
        (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s
             AND score = (SELECT score FROM found) AND lead_id >= %(lead)s ORDER BY lead_id LIMIT {AROUND // 2})
        UNION ALL
        (SELECT {ENTRY} FROM leads WHERE tenant_id = %(tenant)s
             AND score < (SELECT score FROM found) ORDER BY score DESC, lead_id LIMIT {AROUND // 2})
        LIMIT {AROUND // 2})
) {RANKED}
"""
RANK = """
SELECT l.score, coalesce(sum(c.leads) FILTER (WHERE c.score > l.score), 0) + 1 AS rank, sum(c.leads) AS total
FROM leads l CROSS JOIN score_counts c
WHERE l.tenant_id = %(tenant)s AND l.lead_id = %(lead)s AND c.tenant_id = %(tenant)s GROUP BY l.score
"""
ONE_LEAD = f"""
SELECT {LEAD},
    (SELECT sum(leads) + 1 FROM score_counts WHERE tenant_id = %(tenant)s AND score_counts.score > l.score) AS rank,
    ARRAY(
        SELECT (event_id, occurred_at, properties)::text FROM events
        WHERE tenant_id = %(tenant)s AND lead_id = %(lead)s AND type = '$note'
        ORDER BY occurred_at DESC, event_id LIMIT 20
    ) AS notes
FROM leads l WHERE tenant_id = %(tenant)s AND lead_id = %(lead)s
"""
HISTORY = f"""
SELECT sequence, delta, score_before, score_after, cause, event_id, type, model_version, contributions, crossings,
    occurred_at, recorded_at
FROM ledger WHERE tenant_id = %(tenant)s AND lead_id = %(lead)s ORDER BY sequence DESC LIMIT {SHOWN}
"""
FILTERED = f"""
SELECT {LEAD} FROM (
    SELECT * FROM leads WHERE tenant_id = %(tenant)s ORDER BY score DESC, lead_id LIMIT {LOOKED_AT}
) l
WHERE status = 'qualified' AND profile->>'industry' = 'tech'
    AND (profile->'company_size')::int >= 80
ORDER BY score DESC, lead_id LIMIT {SHOWN}
"""
SEARCHED = f"""
SELECT {LEAD} FROM lead_names n JOIN leads l USING (tenant_id, lead_id)
WHERE tenant_id = %(tenant)s AND n.name >= %(search)s AND n.name < %(behind)s AND NOT EXISTS (
    SELECT FROM lead_names e WHERE e.tenant_id = %(tenant)s AND e.lead_id = n.lead_id
        AND e.name >= %(search)s AND e.name < n.name
)
ORDER BY n.name, n.lead_id LIMIT {SHOWN}
"""
MOVED = f"""
WITH moved AS (
    SELECT lead_id, score_before, l.score - score_before AS delta
    FROM (
        SELECT DISTINCT ON (lead_id) lead_id, score_before FROM score_days
        WHERE tenant_id = %(tenant)s AND day >= %(since)s ORDER BY lead_id, day
    ) JOIN leads l USING (lead_id)
    WHERE l.tenant_id = %(tenant)s AND l.score > score_before
    ORDER BY delta DESC, lead_id LIMIT {MOVERS}
)
SELECT moved.*, l.score, l.grade, l.profile->'name', l.profile->'company'
FROM moved JOIN leads l USING (lead_id) WHERE l.tenant_id = %(tenant)s ORDER BY delta DESC, lead_id
"""
SUMS = "SELECT name, sum(count)::int8 AS count, sum(total)::int8 AS total FROM rollups WHERE tenant_id = %(tenant)s"
NOW = "AND at = '1970-01-01Z' GROUP BY name HAVING sum(count) <> 0"
IN_PERIOD = "AND at >= %(start)s AND at <= %(end)s"
ACTIVITY = f"""
SELECT at, name, sum(count)::int8 FROM rollups WHERE tenant_id = %(tenant)s AND kind = 13 {IN_PERIOD}
GROUP BY at, name HAVING sum(count) <> 0 ORDER BY at, name
"""
ACTIVE_LEADS = f"""
SELECT at, sum(count)::int8 FROM rollups WHERE tenant_id = %(tenant)s AND kind = 2 {IN_PERIOD}
GROUP BY at HAVING sum(count) <> 0 ORDER BY at
"""
DISTRIBUTION = f"""
SELECT 0 AS part, NULL::timestamptz AS at, (score - score %% 50)::text AS name, sum(leads)::int8 AS count,
    sum(leads * score)::int8 AS total
FROM score_counts WHERE tenant_id = %(tenant)s GROUP BY 3
UNION ALL
SELECT 1, NULL, name, sum(count)::int8, 0 FROM rollups WHERE tenant_id = %(tenant)s AND kind = 3 {NOW}
UNION ALL
SELECT 2, at, (name::int - name::int %% 50)::text, sum(count)::int8, 0 FROM rollups
WHERE tenant_id = %(tenant)s AND kind = 5 AND at >= %(start)s GROUP BY 2, 3
UNION ALL
SELECT 3, at, name, sum(count)::int8, 0 FROM rollups
WHERE tenant_id = %(tenant)s AND kind = 4 AND at >= %(start)s GROUP BY 2, 3
"""
SOURCES = """
SELECT name, sum(count) FILTER (WHERE kind = 6)::int8 AS leads, sum(count) FILTER (WHERE kind = 7)::int8 AS events,
    sum(total) FILTER (WHERE kind = 6)::int8 AS total
FROM rollups WHERE tenant_id = %(tenant)s AND kind IN (6, 7) AND at = '1970-01-01Z'
GROUP BY name ORDER BY leads DESC NULLS LAST, events DESC NULLS LAST, name LIMIT 1000
"""
ABOVE = "SELECT name, total FROM rollups WHERE tenant_id = %(tenant)s AND partition = shards.partition AND total_step"
# The bound is right where there are so many companies, as here.
COMPANIES_FIRST = f"""
WITH RECURSIVE shards AS (
    (SELECT partition, total_step, greatest(total, 1) AS weight FROM rollups
     WHERE tenant_id = %(tenant)s AND total_step IS NOT NULL ORDER BY partition, total_step DESC LIMIT 1)
    UNION ALL
    SELECT later.* FROM shards CROSS JOIN LATERAL (
        SELECT partition, total_step, greatest(total, 1) FROM rollups
        WHERE tenant_id = %(tenant)s AND total_step IS NOT NULL AND partition > shards.partition
        ORDER BY partition, total_step DESC LIMIT 1
    ) AS later
), high AS (
    SELECT name FROM shards CROSS JOIN LATERAL ({ABOVE} IS NOT NULL ORDER BY total_step DESC LIMIT {COMPANIES}) AS first
), least AS MATERIALIZED (
    SELECT min(total) AS total, (SELECT sum(weight) FROM shards) AS weights FROM (
        {SUMS} AND kind = 8 AND name IN (SELECT name FROM high) {NOW} ORDER BY total DESC LIMIT {COMPANIES}
    )
), found AS MATERIALIZED (
    SELECT DISTINCT name FROM shards CROSS JOIN least CROSS JOIN LATERAL (
        {ABOVE} BETWEEN floor(sqrt(div(least.total * weight, weights)::float8)) AND shards.total_step OFFSET 0
    ) AS above
)
SELECT found.name, count, total FROM found CROSS JOIN LATERAL (
    SELECT sum(count)::int8 AS count, sum(total)::int8 AS total FROM rollups
    WHERE tenant_id = %(tenant)s AND kind = 8 AND at = '1970-01-01Z' AND name = found.name
) AS sums
WHERE count <> 0 ORDER BY total DESC, name LIMIT {COMPANIES}
"""
FUNNEL = f"""
SELECT 0 AS part, * FROM ({SUMS} AND kind = 9 {NOW})
UNION ALL SELECT 1, * FROM ({SUMS} AND kind = 10 {NOW})
UNION ALL SELECT 2, * FROM ({SUMS} AND kind = 11 {IN_PERIOD} GROUP BY name HAVING sum(count) <> 0)
"""
RULES = f"""
SELECT *, (SELECT sum(total)::int8 FROM rollups WHERE tenant_id = %(tenant)s AND kind = 3 AND at = '1970-01-01Z')
FROM ({SUMS} AND kind = 12 {NOW}) ORDER BY total DESC, name
"""
