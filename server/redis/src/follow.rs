//! Following: one connection, subscribed to the announcements, on which everything else is read too. A change costs a node one read of the bundle; what was
//! missed is found by comparing heads, a few bytes, at every connection and at every refresh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenhand_manage::bundle::MAX_BUNDLE_BYTES;
use evenhand_manage::follower::MAX_FOLLOWED;
use evenhand_manage::{BundleError, BundleOrder, Taken};
use rand::RngExt as _;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{Cmd, FromRedisValue, Msg, PushInfo, PushKind, cmd};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::cache::{Announcement, CHANNEL, bundle_command, environments_command, heads, heads_command};
use crate::error::CacheError;
use crate::fetch::Fetcher;
use crate::gauges::{FollowGauges, count};
use crate::link::Link;

/// The longest announcement that is read.
const MAX_ANNOUNCEMENT: usize = 1_024;

/// How to follow.
#[derive(Debug, Clone, Copy)]
pub struct FollowConfig {
    /// How often heads are compared when nothing is announced. Three times as often it is seen whether Redis answers at all.
    pub refresh: Duration,
    /// A change is read a random time after its announcement, at most this: so that many nodes don't read at once.
    pub jitter: Duration,
    /// The longest pause between two attempts at a connection.
    pub longest_pause: Duration,
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(30),
            jitter: Duration::from_millis(500),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// A running follower. It ends when this is dropped; what is in force stays in force.
pub struct Follower {
    task: JoinHandle<()>,
    link: Arc<Link>,
    gauges: Arc<FollowGauges>,
}

impl Follower {
    /// Counters.
    pub fn gauges(&self) -> &Arc<FollowGauges> {
        &self.gauges
    }

    /// Seconds since Redis last answered.
    pub fn seconds_since_contact(&self) -> f64 {
        self.link.seconds_since_contact()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow. Returns at once; what `fetcher`'s node holds already (from its disk) is served meanwhile.
pub fn follow(redis: &crate::RedisConfig, fetcher: Arc<Fetcher>, config: FollowConfig) -> Result<Follower, CacheError> {
    let link = Arc::new(Link::new(redis)?);
    let gauges = Arc::new(FollowGauges::default());
    let follow = Follow {
        link: Arc::clone(&link),
        fetcher,
        config,
        gauges: Arc::clone(&gauges),
        refused: BTreeMap::new(),
    };
    Ok(Follower {
        task: tokio::spawn(follow.for_ever()),
        link,
        gauges,
    })
}

/// What was announced and not looked at yet: one entry an environment, whatever the number of announcements.
#[derive(Default)]
struct Inbox {
    news: Mutex<BTreeMap<String, BundleOrder>>,
    broken: Mutex<bool>,
    woken: Notify,
}

impl Inbox {
    fn push(&self, info: PushInfo, gauges: &FollowGauges) {
        match info.kind {
            PushKind::Disconnection => *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = true,
            PushKind::Message => {
                let Some(announcement) = Msg::from_push_info(info).as_ref().and_then(read) else {
                    return;
                };
                count(&gauges.announcements);
                let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
                if news.len() < MAX_FOLLOWED || news.contains_key(&announcement.environment) {
                    let newest = news.entry(announcement.environment).or_default();
                    *newest = announcement.order.max(*newest);
                }
            }
            _ => return,
        }
        self.woken.notify_one();
    }

    fn take(&self) -> BTreeMap<String, BundleOrder> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_broken(&self) -> bool {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(message: &Msg) -> Option<Announcement> {
    let payload = message.get_payload_bytes();
    if payload.len() > MAX_ANNOUNCEMENT {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

fn random_part_of(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random_range(0.0..1.0))
}

struct Follow {
    link: Arc<Link>,
    fetcher: Arc<Fetcher>,
    config: FollowConfig,
    gauges: Arc<FollowGauges>,
    /// Bundles that were not believed, by environment: not read again as long as they stand there.
    refused: BTreeMap<String, BundleOrder>,
}

impl Follow {
    async fn for_ever(mut self) {
        let mut pause = Duration::from_millis(50);
        let mut said = false;
        while self.fetcher.manage().only_assigns() {
            let began = Instant::now();
            let ended = self.session(&mut said).await;
            let Err(error) = ended else { break };
            self.gauges.connected.store(false, Ordering::Relaxed);
            count(&self.gauges.cut_off);
            if !said {
                tracing::warn!(%error, "cut off from Redis: the last bundles stay in force, and it is tried again");
                said = true;
            }
            self.ask_source().await;
            pause = if began.elapsed() > self.config.longest_pause {
                Duration::from_millis(50)
            } else {
                (pause * 2).min(self.config.longest_pause)
            };
            // Not all nodes at once when Redis is back.
            sleep(pause / 2 + random_part_of(pause / 2)).await;
        }
        tracing::info!("this node has its own definitions now and follows no more");
    }

    /// From a connection to its end. `Ok`: this node follows no more.
    async fn session(&mut self, said: &mut bool) -> Result<(), CacheError> {
        let inbox = Arc::new(Inbox::default());
        let (pushed, gauges) = (Arc::clone(&inbox), Arc::clone(&self.gauges));
        let push = move |info: PushInfo| -> Result<(), SendError> {
            pushed.push(info, &gauges);
            Ok(())
        };
        let mut connection = self.link.listening(push).await?;
        let subscribed = timeout(self.link.answer_timeout(), connection.subscribe(CHANNEL)).await;
        self.link.heard(subscribed)?;
        self.compare(&mut connection).await?;
        self.gauges.connected.store(true, Ordering::Relaxed);
        if std::mem::take(said) {
            tracing::info!(redis = self.link.address(), "in touch with Redis again");
        }
        let mut beat = interval(self.config.refresh / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let mut beats = 0_u32;
        loop {
            tokio::select! {
                () = inbox.woken.notified() => {
                    if inbox.is_broken() {
                        return Err(CacheError::Unreachable { address: self.link.address().to_owned(), message: "the connection was closed".into() });
                    }
                    sleep(random_part_of(self.config.jitter)).await;
                    for (environment, order) in inbox.take() {
                        if self.fetcher.is_news(&environment, order) && self.refused.get(&environment) != Some(&order) {
                            self.bring(&mut connection, &environment, order).await?;
                        }
                    }
                }
                _ = beat.tick() => {
                    if !self.fetcher.manage().only_assigns() {
                        return Ok(());
                    }
                    beats += 1;
                    if beats.is_multiple_of(3) {
                        self.compare(&mut connection).await?;
                    } else {
                        let _pong: String = self.ask(&mut connection, &cmd("PING")).await?;
                    }
                }
            }
        }
    }

    /// Compares heads, and brings what is newer. An environment that Redis does not know is asked of a management node.
    async fn compare(&mut self, connection: &mut MultiplexedConnection) -> Result<(), CacheError> {
        let manage = self.fetcher.manage();
        let named: Vec<String> = self.ask(connection, &environments_command()).await?;
        let mut all: BTreeSet<String> = named
            .into_iter()
            .filter(|environment| manage.may_follow(environment))
            .collect();
        all.extend(manage.environments());
        all.extend(manage.trusted_keys().environments());
        let all: Vec<String> = all.into_iter().take(MAX_FOLLOWED).collect();
        if all.is_empty() {
            return Ok(());
        }
        let texts: Vec<Option<String>> = self.ask(connection, &heads_command(&all)).await?;
        let heads = heads(&all, texts);
        for environment in &all {
            match heads.get(environment) {
                Some(head)
                    if self.fetcher.is_news(environment, head.order)
                        && self.refused.get(environment) != Some(&head.order) =>
                {
                    self.bring(connection, environment, head.order).await?;
                }
                None if self.fetcher.has_source() => self.through(environment).await,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads one bundle and puts it in force. Only the connection's faults are errors: what is wrong with a bundle ends nothing.
    async fn bring(
        &mut self,
        connection: &mut MultiplexedConnection,
        environment: &str,
        order: BundleOrder,
    ) -> Result<(), CacheError> {
        let bytes: Option<Vec<u8>> = self.ask(connection, &bundle_command(environment)).await?;
        count(&self.gauges.fetched);
        let Some(bytes) = bytes.filter(|bytes| bytes.len() <= MAX_BUNDLE_BYTES) else {
            return Ok(());
        };
        let taken = self.fetcher.take(bytes.into()).await;
        match taken {
            Ok(taken) => self.took(environment, taken),
            Err(CacheError::Bundle(BundleError::NotAFollower)) => {}
            Err(error) => {
                count(&self.gauges.refused);
                tracing::warn!(environment, %order, %error, "a bundle in Redis was not taken; the last one stays in force");
                // What lacks its lists may have them the next time; anything else stays what it is.
                if matches!(&error, CacheError::Bundle(fault) if !matches!(fault, BundleError::MissingLists { .. })) {
                    self.refused.insert(environment.to_owned(), order);
                }
            }
        }
        Ok(())
    }

    fn took(&mut self, environment: &str, taken: Taken) {
        self.refused.remove(environment);
        if taken == Taken::InForce {
            count(&self.gauges.taken);
        }
    }

    async fn through(&mut self, environment: &str) {
        match self.fetcher.bring(environment).await {
            Ok(Some(taken)) => {
                count(&self.gauges.fetched);
                self.took(environment, taken);
            }
            Ok(None) => {}
            Err(error) => {
                count(&self.gauges.failures);
                tracing::debug!(environment, %error, "neither Redis nor a management node gave a bundle");
            }
        }
    }

    /// Without Redis a node that holds nothing yet asks a management node.
    async fn ask_source(&mut self) {
        if self.fetcher.has_source() {
            for environment in self.fetcher.manage().trusted_keys().environments() {
                if self.fetcher.manage().held_order(&environment).is_none() {
                    self.through(&environment).await;
                }
            }
        }
    }

    async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> Result<T, CacheError> {
        let answer = timeout(self.link.answer_timeout(), command.query_async(connection)).await;
        let answer = self.link.heard(answer);
        if answer.is_err() {
            count(&self.gauges.failures);
        }
        answer
    }
}
