import { scenario } from './scenario.js';
import { plugin } from './scenario-sdk/plugin.js';

export const scenarios = plugin(scenario);
