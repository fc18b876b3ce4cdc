// Everything the package exports. README.md shows how it is used.

export { type Bucket, bucket } from './bucket';
export type { Change } from './changes';
export { Client, type TrackOptions } from './client';
export type { ClientOptions, SessionNumbers } from './client-options';
export { type Attributes, type AttributeValue, Context, type ContextExtras, type StickyRecord } from './context';
export type { Arm, Decision, HoldoutExposure, Json } from './decision';
export { Engine, type EngineOptions, type Fault, type MissingList } from './engine';
export { ManifestError } from './errors';
export type { LogFields, Logger } from './logger';
export { type OverrideOptions, type OverrideResult, verifyOverride } from './override';
export { REASONS, type Reason } from './reason';
export type { EvaluateOptions, FlagInfo, FlagType } from './snapshot';
export { FileStickyStore, MemoryStickyStore, type StickyStore } from './sticky';
export type { EventCounts, Telemetry } from './telemetry';
