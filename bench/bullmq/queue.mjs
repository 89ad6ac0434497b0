// The queue's name, and the connection to Redis from the settings on the command line.

import { Redis } from 'ioredis';

export const QUEUE = 'events';
export const settings = JSON.parse(process.argv[2]);

export function redis() {
  // What BullMQ asks for: a worker's commands wait for Redis as long as need be.
  return new Redis(settings.redisPort, '127.0.0.1', { maxRetriesPerRequest: null });
}
