//! Durations.

use meltemi_api::Duration;

use crate::Check;

const MILLISECOND: i64 = 1_000_000;

/// A duration that a timer can keep. Istio 1.31: `ValidateDuration`.
pub fn duration(value: Duration) -> Check {
    if value.as_nanos() < MILLISECOND {
        return Err("duration must be greater than 1ms".to_owned());
    }
    if value.as_nanos() % MILLISECOND != 0 {
        return Err("only durations to ms precision are supported".to_owned());
    }
    Ok(())
}

/// A duration that may be left out.
pub fn optional(value: Option<Duration>) -> Check {
    value.map_or(Ok(()), duration)
}

/// An idle timeout: less than a millisecond switches it off. Istio 1.31: `validateConnectionPool`.
pub fn or_disabled(value: Option<Duration>) -> Check {
    match value {
        Some(value) if value.as_nanos() / MILLISECOND != 0 => duration(value),
        _ => Ok(()),
    }
}

/// The span in which proxies drain: whole seconds. Istio 1.31: `ValidateDrainDuration`.
pub fn drain(value: Option<Duration>) -> Check {
    let value = value.unwrap_or_default();
    duration(value).map_err(|why| format!("invalid drain duration: {why}"))?;
    if value.subsec_nanos() != 0 {
        return Err("drain time only supports durations to seconds precision".to_owned());
    }
    Ok(())
}

/// A connect timeout: at most an hour. Istio 1.31: `ValidateConnectTimeout`.
pub fn connect_timeout(value: Option<Duration>) -> Check {
    let value = value.unwrap_or_default();
    duration(value)?;
    if value > Duration::from_secs(3_600) {
        return Err(format!("time {value} must be >1ms and <1h0m0s"));
    }
    Ok(())
}

/// How long the protocol is waited for; 0 waits for ever. Istio 1.31: `ValidateProtocolDetectionTimeout`.
pub fn protocol_detection(value: Option<Duration>) -> Check {
    if value.unwrap_or_default().as_nanos() % MILLISECOND != 0 {
        return Err("only durations to ms precision are supported".to_owned());
    }
    Ok(())
}

/// The age at which the control plane closes streams. Istio 1.31: `ValidateMaxServerConnectionAge`.
pub fn max_connection_age(value: Duration) -> Check {
    if value.as_nanos() < 0 {
        return Err(format!(
            "invalid duration: {value}: --keepaliveMaxServerConnectionAge only accepts positive duration eg: 30m"
        ));
    }
    Ok(())
}
