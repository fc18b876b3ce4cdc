//! The manifest cache, announcements and shared rate limits in Redis.
