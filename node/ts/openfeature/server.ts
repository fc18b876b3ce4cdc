import {
  type EvaluationContext,
  type Hook,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  type ProviderEvents,
  type ResolutionDetails,
  type TrackingEventDetails,
} from '@openfeature/server-sdk';
import type { Client } from '../client';
import type { ClientOptions } from '../client-options';
import { Core, type ProviderOptions } from './core';

export type { ProviderOptions } from './core';

/**
 * The provider for `@openfeature/server-sdk`. A resolution queues its exposure, as `decide` does.
 *
 * Of a `Client` that is handed in, closing delivers the events and leaves it open; one that is made of options is closed, and made
 * anew when the provider is set again. How things map stands in docs/openfeature.md.
 */
export class EvenhandProvider implements Provider {
  readonly metadata = { name: 'Evenhand' } as const;
  readonly runsOn = 'server';
  readonly events = new OpenFeatureEventEmitter();
  readonly hooks: Hook[] = [];
  readonly #core: Core;

  /** @throws Error for an address, a key or a number that can't be right. */
  constructor(client: Client | ClientOptions, options: ProviderOptions = {}) {
    this.#core = new Core(client, options, (event, details) => this.events.emit(event as ProviderEvents, details));
  }

  /** The client behind it, for what OpenFeature has no verb for; null between closing and setting it again. */
  get client(): Client | null {
    return this.#core.client;
  }

  /** Waits for the first manifest. */
  initialize(_context?: EvaluationContext): Promise<void> {
    return this.#core.initialize();
  }

  onClose(): Promise<void> {
    return this.#core.close();
  }

  async resolveBooleanEvaluation(flagKey: string, defaultValue: boolean, context: EvaluationContext): Promise<ResolutionDetails<boolean>> {
    return this.#core.resolve(flagKey, defaultValue, context, 'bool');
  }

  async resolveStringEvaluation(flagKey: string, defaultValue: string, context: EvaluationContext): Promise<ResolutionDetails<string>> {
    return this.#core.resolve(flagKey, defaultValue, context, 'string');
  }

  /** A flag of type `int` or `float`. */
  async resolveNumberEvaluation(flagKey: string, defaultValue: number, context: EvaluationContext): Promise<ResolutionDetails<number>> {
    return this.#core.resolve(flagKey, defaultValue, context, 'float');
  }

  /** A flag of type `json` that gives an object or a list. The value is shared by all resolutions, and frozen. */
  async resolveObjectEvaluation<T extends JsonValue>(
    flagKey: string,
    defaultValue: T,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<T>> {
    return this.#core.resolve(flagKey, defaultValue, context, 'json');
  }

  track(trackingEventName: string, context: EvaluationContext, trackingEventDetails: TrackingEventDetails): void {
    this.#core.track(trackingEventName, context, trackingEventDetails);
  }
}
