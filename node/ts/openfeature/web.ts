import {
  type EvaluationContext,
  type Hook,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  type ProviderEmittableEvents,
  type ResolutionDetails,
  type TrackingEventDetails,
} from '@openfeature/web-sdk';
import type { Client } from '../client';
import type { ClientOptions } from '../client-options';
import { Core, type ProviderOptions } from './core';

export type { ProviderOptions } from './core';

/**
 * The provider for `@openfeature/web-sdk`, whose context is set once and whose resolutions are plain calls, where Node runs beside the
 * page: Electron, or a test. Not in a browser: there is no native library there.
 *
 * A change of the context needs no time: the next resolution decides by it. All else is as in `evenhand/openfeature`.
 */
export class EvenhandWebProvider implements Provider {
  readonly metadata = { name: 'Evenhand' } as const;
  readonly runsOn = 'client';
  readonly events = new OpenFeatureEventEmitter();
  readonly hooks: Hook[] = [];
  readonly #core: Core;

  /** @throws Error for an address, a key or a number that can't be right. */
  constructor(client: Client | ClientOptions, options: ProviderOptions = {}) {
    this.#core = new Core(client, options, (event, details) => this.events.emit(event as ProviderEmittableEvents, details));
  }

  /** The client behind it, for what OpenFeature has no verb for; null between closing and setting it again. */
  get client(): Client | null {
    return this.#core.client;
  }

  /** Waits for the first manifest. */
  initialize(_context?: EvaluationContext): Promise<void> {
    return this.#core.initialize();
  }

  /** Nothing to wait for; but the SDK has forgotten that the provider is stale or in error. */
  onContextChange(): void {
    this.#core.remind();
  }

  onClose(): Promise<void> {
    return this.#core.close();
  }

  resolveBooleanEvaluation(flagKey: string, defaultValue: boolean, context: EvaluationContext): ResolutionDetails<boolean> {
    return this.#core.resolve(flagKey, defaultValue, context, 'bool');
  }

  resolveStringEvaluation(flagKey: string, defaultValue: string, context: EvaluationContext): ResolutionDetails<string> {
    return this.#core.resolve(flagKey, defaultValue, context, 'string');
  }

  /** A flag of type `int` or `float`. */
  resolveNumberEvaluation(flagKey: string, defaultValue: number, context: EvaluationContext): ResolutionDetails<number> {
    return this.#core.resolve(flagKey, defaultValue, context, 'float');
  }

  /** A flag of type `json` that gives an object or a list. The value is shared by all resolutions, and frozen. */
  resolveObjectEvaluation<T extends JsonValue>(flagKey: string, defaultValue: T, context: EvaluationContext): ResolutionDetails<T> {
    return this.#core.resolve(flagKey, defaultValue, context, 'json');
  }

  track(trackingEventName: string, context: EvaluationContext, trackingEventDetails: TrackingEventDetails): void {
    this.#core.track(trackingEventName, context, trackingEventDetails);
  }
}
