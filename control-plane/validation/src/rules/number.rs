//! Shares and weights.

use meltemi_api::shared::Percent;

use crate::Check;

/// A share of whole percents. Istio 1.31: `ValidatePercent`.
pub fn percent(value: i32) -> Check {
    if (0..=100).contains(&value) {
        return Ok(());
    }
    Err(format!("percentage {value} is not in range 0..100"))
}

/// A share with a fraction. Istio 1.31: `validatePercentage`.
pub fn percentage(value: Option<&Percent>) -> Check {
    let Some(Percent { value }) = value else {
        return Ok(());
    };
    // A number that is none compares as false with everything, in Go as here.
    if *value < 0.0 || *value > 100.0 || (*value > 0.0 && *value < 0.0001) {
        return Err(format!(
            "percentage {value} is neither 0.0, nor in range [0.0001, 100.0]"
        ));
    }
    Ok(())
}

/// The share of requests that is mirrored.
pub fn mirror_percentage(value: f64, name: &str) -> Check {
    if value > 100.0 {
        return Err(format!(
            "{name} must have a max value of 100 (it has {value:.6})"
        ));
    }
    if value < 0.0 {
        return Err(format!(
            "{name} must have a min value of 0 (it has {value:.6})"
        ));
    }
    Ok(())
}

/// A number that must not be negative.
pub fn not_negative(value: i32, name: &str) -> Check {
    if value < 0 {
        return Err(format!("{name} must be non-negative"));
    }
    Ok(())
}

/// The status of an answer. Istio 1.31: `validateHTTPStatus`, which says 599 and accepts 600.
pub fn http_status(status: i64) -> Check {
    if (200..=600).contains(&status) {
        return Ok(());
    }
    Err(format!("HTTP status {status} is not in range 200-599"))
}
