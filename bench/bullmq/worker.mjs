// A worker process: node worker.mjs '{"redisPort", "databaseUrl", "concurrency", "pipeline"}'.
// Says "ready", then how many jobs it has completed, whenever that has changed; ends when its input does.

import { Worker } from 'bullmq';
import pg from 'pg';

import { QUEUE, redis, settings } from './queue.mjs';
import { atOnce, inTurn, scoreEvent } from './transaction.mjs';

const TELL_MS = 10;

const { databaseUrl, concurrency, pipeline } = settings;
const pool = new pg.Pool({ connectionString: databaseUrl, max: concurrency, pipeline });
const run = pipeline ? atOnce : inTurn;
const worker = new Worker(QUEUE, (job) => scoreEvent(pool, run, job.data), { connection: redis(), concurrency });

let completed = 0;
let told = 0;
worker.on('completed', () => (completed += 1));
worker.on('failed', (job, error) => {
  // Two first events of a lead at once are expected: the later one is tried again.
  if (!job || job.attemptsMade >= job.opts.attempts) console.error(job?.id, error);
});
worker.on('error', (error) => console.error(error));
setInterval(() => {
  if (completed !== told) console.log((told = completed));
}, TELL_MS);
process.stdin.on('end', () => process.exit(0)).resume();

await worker.waitUntilReady();
console.log('ready');
