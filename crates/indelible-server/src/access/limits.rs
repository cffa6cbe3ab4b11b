//! True token buckets for events and requests, of tokens and tenants.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Rates in force; 0 everywhere: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Events a second for each token.
    pub token_events: u32,
    /// Requests a second for each token.
    pub token_requests: u32,
    /// Events a second for each tenant.
    pub tenant_events: u32,
    /// Failed logins a second for each address.
    pub failed_logins: u32,
    /// Seconds of each that may come at once.
    pub burst_seconds: u32,
}

/// When to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// What there was too much of.
    pub what: &'static str,
    /// When there is room for it; `None`: never, it is more than may come at once.
    pub after: Option<Duration>,
}

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    rate: Rate,
    token_events: Option<DefaultKeyedRateLimiter<String>>,
    /// Of tokens that have a rate of their own: keyed by rate and id, as a limiter has one rate.
    own_events: parking_lot::Mutex<Vec<(u32, DefaultKeyedRateLimiter<String>)>>,
    token_requests: Option<DefaultKeyedRateLimiter<String>>,
    tenant_events: Option<DefaultKeyedRateLimiter<String>>,
    failed_logins: Option<DefaultKeyedRateLimiter<std::net::IpAddr>>,
}

/// Buckets kept at once; beyond, those that are full again are forgotten.
const KEYS_MAX: usize = 100_000;

impl Limits {
    /// Empty of debts.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            token_events: quota(rate.token_events, rate.burst_seconds).map(RateLimiter::keyed),
            own_events: parking_lot::Mutex::default(),
            token_requests: quota(rate.token_requests, rate.burst_seconds).map(RateLimiter::keyed),
            tenant_events: quota(rate.tenant_events, rate.burst_seconds).map(RateLimiter::keyed),
            failed_logins: quota(rate.failed_logins, rate.burst_seconds).map(RateLimiter::keyed),
            rate,
        }
    }

    /// What is in force.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// One request of a token.
    ///
    /// # Errors
    /// When to come again.
    pub fn request(&self, token: &str) -> Result<(), TooMany> {
        take(self.token_requests.as_ref(), &token.to_owned(), 1, "requests of this token")
    }

    /// Events of a token for a tenant. `own`: the token's own rate.
    ///
    /// # Errors
    /// When to come again.
    pub fn events(&self, token: &str, own: Option<u32>, tenant: &str, events: u32) -> Result<(), TooMany> {
        let what = "events of this token";
        match own.filter(|own| *own > 0) {
            Some(own) => {
                let mut limiters = self.own_events.lock();
                let known = limiters.iter().position(|(rate, _)| *rate == own);
                let at = known.unwrap_or(limiters.len());
                if known.is_none()
                    && let Some(quota) = quota(own, self.rate.burst_seconds.max(1))
                {
                    limiters.push((own, RateLimiter::keyed(quota)));
                }
                take(limiters.get(at).map(|(_, limiter)| limiter), &token.to_owned(), events, what)?;
            }
            None => take(self.token_events.as_ref(), &token.to_owned(), events, what)?,
        }
        self.tenant(tenant, events)
    }

    /// Events for a tenant that come without a token.
    ///
    /// # Errors
    /// When to come again.
    pub fn tenant(&self, tenant: &str, events: u32) -> Result<(), TooMany> {
        take(self.tenant_events.as_ref(), &tenant.to_owned(), events, "events of this tenant")
    }

    /// A failed login.
    ///
    /// # Errors
    /// There were so many from there that this one is not worth an answer of its own.
    pub fn failed_login(&self, address: std::net::IpAddr) -> Result<(), TooMany> {
        take(self.failed_logins.as_ref(), &network(address), 1, "failed logins from this address")
    }
}

/// Who has one address of IPv6 has its whole /64.
fn network(address: std::net::IpAddr) -> std::net::IpAddr {
    match address {
        std::net::IpAddr::V4(_) => address,
        std::net::IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn quota(per_second: u32, burst_seconds: u32) -> Option<Quota> {
    let rate = NonZeroU32::new(per_second)?;
    let burst = NonZeroU32::new(per_second.saturating_mul(burst_seconds.max(1)))?;
    Some(Quota::per_second(rate).allow_burst(burst))
}

fn take<K: Clone + Eq + std::hash::Hash>(
    limiter: Option<&DefaultKeyedRateLimiter<K>>,
    key: &K,
    count: u32,
    what: &'static str,
) -> Result<(), TooMany> {
    let (Some(limiter), Some(count)) = (limiter, NonZeroU32::new(count)) else { return Ok(()) };
    if limiter.len() > KEYS_MAX {
        limiter.retain_recent();
    }
    match limiter.check_key_n(key, count) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(not_until)) => Err(TooMany { what, after: Some(not_until.wait_time_from(DefaultClock::default().now())) }),
        Err(_) => Err(TooMany { what, after: None }),
    }
}
