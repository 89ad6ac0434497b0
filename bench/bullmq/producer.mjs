// Adds events as jobs: node producer.mjs '{"redisPort", "file", "batch"}'. The file holds an event as JSON on each line.
// Says "ready"; adds as many of the next events as each line of its input asks for; ends when that does.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { Queue } from 'bullmq';

import { QUEUE, redis, settings } from './queue.mjs';

const ATTEMPTS = 5;

const events = readFileSync(settings.file, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
const queue = new Queue(QUEUE, { connection: redis() });
await queue.waitUntilReady();
console.log('ready');

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = events.splice(0, Number(line));
  for (let start = 0; start < wanted.length; start += settings.batch) {
    await queue.addBulk(wanted.slice(start, start + settings.batch).map(job));
  }
}
process.exit(0);

// The event's id is the job's: BullMQ takes a job that it still holds only once.
function job(event) {
  return { name: event.type, data: event, opts: { jobId: event.eventId, attempts: ATTEMPTS, removeOnComplete: true } };
}
