//! Kubernetes quantities in their canonical form, as `resource.Quantity` writes them: `2000m` is `2`, `1024Mi` is `1Gi`.

/// Why a text is no quantity (the texts of Kubernetes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Number,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// The canonical form of a quantity.
///
/// # Errors
/// A text that is no quantity.
pub(crate) fn canonical(text: &str) -> Result<String, QuantityError> {
    let number_end = text
        .char_indices()
        .find(|&(i, c)| !(c.is_ascii_digit() || c == '.' || (i == 0 && (c == '+' || c == '-'))))
        .map_or(text.len(), |(i, _)| i);
    let (number, suffix) = text.split_at(number_end);
    let digits = number.trim_start_matches(['+', '-']);
    if digits.is_empty() || number.is_empty() {
        return Err(QuantityError::Format);
    }
    if digits.matches('.').count() > 1 || digits == "." {
        return Err(QuantityError::Number);
    }
    let negative = number.starts_with('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let joined = format!("{whole}{fraction}");
    let mut scale = -i32::try_from(fraction.len()).map_err(|_| QuantityError::Number)?;
    let Ok(mut mantissa) = joined
        .trim_start_matches('0')
        .parse::<u128>()
        .or_else(|error| {
            if joined.bytes().all(|b| b == b'0') {
                Ok(0)
            } else {
                Err(error)
            }
        })
    else {
        return Err(QuantityError::Number);
    };

    let form = if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        // Binary suffixes multiply; a fraction is kept as far as decimals go.
        mantissa = mantissa
            .checked_mul(1_u128 << bits)
            .ok_or(QuantityError::Number)?;
        Form::Binary
    } else if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        scale += exponent;
        Form::Decimal
    } else if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
        if exponent.abs() > 30 {
            return Err(QuantityError::Number);
        }
        scale += exponent;
        Form::Exponent
    } else {
        return Err(QuantityError::Suffix);
    };

    // At most nano, rounded up (away from zero), as Kubernetes keeps them.
    while scale < -9 {
        let rest = mantissa % 10;
        mantissa = mantissa / 10 + u128::from(rest != 0);
        scale += 1;
    }
    if mantissa == 0 {
        return Ok("0".to_owned());
    }
    while mantissa.is_multiple_of(10) && scale < 0 {
        mantissa /= 10;
        scale += 1;
    }
    let sign = if negative { "-" } else { "" };
    let text = match form {
        Form::Binary => binary(mantissa, scale),
        Form::Decimal => decimal(mantissa, scale, false),
        Form::Exponent => decimal(mantissa, scale, true),
    };
    Ok(format!("{sign}{text}"))
}

enum Form {
    Binary,
    Decimal,
    Exponent,
}

/// Whole numbers with the largest suffix that leaves them whole; others, and those below 1024, in decimal form.
fn binary(mantissa: u128, scale: i32) -> String {
    let whole = u32::try_from(scale)
        .ok()
        .and_then(|scale| mantissa.checked_mul(10_u128.checked_pow(scale)?));
    let Some(mut value) = whole else {
        return decimal(mantissa, scale, false);
    };
    if value < 1024 {
        return decimal(mantissa, scale, false);
    }
    let mut suffix = "";
    for (name, _) in BINARY {
        if !value.is_multiple_of(1024) {
            break;
        }
        value /= 1024;
        suffix = name;
    }
    format!("{value}{suffix}")
}

/// A whole mantissa and the largest suffix whose exponent is a multiple of three.
fn decimal(mut mantissa: u128, mut scale: i32, exponent: bool) -> String {
    while mantissa.is_multiple_of(10) {
        mantissa /= 10;
        scale += 1;
    }
    while scale.rem_euclid(3) != 0 || scale > 18 && !exponent {
        mantissa = mantissa.saturating_mul(10);
        scale -= 1;
    }
    if exponent {
        return if scale == 0 {
            mantissa.to_string()
        } else {
            format!("{mantissa}e{scale}")
        };
    }
    let suffix = DECIMAL
        .iter()
        .find(|(_, e)| *e == scale)
        .map_or("", |(name, _)| *name);
    format!("{mantissa}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_canonically() {
        for (text, expected) in [
            ("2000m", "2"),
            ("1024Mi", "1Gi"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1", "1"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1536Mi", "1536Mi"),
            ("128Mi", "128Mi"),
            ("1Ki", "1Ki"),
            ("512", "512"),
            ("1e3", "1e3"),
            ("1.5Gi", "1536Mi"),
            ("0", "0"),
            ("0m", "0"),
            ("-100m", "-100m"),
            ("1000000", "1M"),
            ("10k", "10k"),
            (".5", "500m"),
            ("1000Ki", "1000Ki"),
            ("0.5Ki", "512"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn others_are_refused() {
        for text in ["", "abc", "1.2.3", "1Xi", "1 Gi", "--1", "1Gib", "\n"] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }
}
