// One event, one transaction: it counts once, and event, lead and ledger agree.

import { scored } from './rules.mjs';

// Statements with a name are prepared once for each connection.
const insertEvent = (event) => ({
  name: 'insert-event',
  text: `INSERT INTO events (event_id, lead_id, type, source, occurred_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (event_id) DO NOTHING`,
  values: [event.eventId, event.leadId, event.type, event.source, event.occurredAt],
});

const lockLead = (leadId) => ({
  name: 'lock-lead',
  text: 'SELECT engagement, fit, score, version FROM leads WHERE lead_id = $1 FOR UPDATE',
  values: [leadId],
});

const upsertLead = (leadId, { engagement, fit, score, grade, version }) => ({
  name: 'upsert-lead',
  text: `INSERT INTO leads (lead_id, engagement, fit, score, grade, version) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (lead_id) DO UPDATE SET engagement = $2, fit = $3, score = $4, grade = $5, version = $6,
         updated_at = now()`,
  values: [leadId, engagement, fit, score, grade, version],
});

const insertLedger = (event, version, before, after) => ({
  name: 'insert-ledger',
  text: `INSERT INTO ledger (lead_id, version, event_id, score_before, score_after, occurred_at)
         VALUES ($1, $2, $3, $4, $5, $6)`,
  values: [event.leadId, version, event.eventId, before, after, event.occurredAt],
});

// Scores an event, unless its id is known. `run` executes statements: `inTurn` or `atOnce`.
export async function scoreEvent(pool, run, event) {
  const client = await pool.connect();
  try {
    const [, inserted, found] = await run(client, ['BEGIN', insertEvent(event), lockLead(event.leadId)]);
    if (inserted.rowCount === 0) {
      await client.query('ROLLBACK');
      return;
    }
    const before = found.rows[0];
    const after = { ...scored(before, event), version: Number(before?.version ?? 0) + 1 };
    const ledger = insertLedger(event, after.version, before?.score ?? 0, after.score);
    await run(client, [upsertLead(event.leadId, after), ledger, 'COMMIT']);
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

// Each statement when the one before is answered, as most programs do.
export async function inTurn(client, statements) {
  const results = [];
  for (const statement of statements) results.push(await client.query(statement));
  return results;
}

// All on the way at once; needs connections with `pipeline`.
export async function atOnce(client, statements) {
  const settled = await Promise.allSettled(statements.map((statement) => client.query(statement)));
  const failed = settled.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  return settled.map(({ value }) => value);
}
