/** The rows of README's table of limits that are about what nodes do with one another. */
import { peerTries, tryRows } from './tries.ts';

tryRows('the limits among nodes in README', peerTries);
