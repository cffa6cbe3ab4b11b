//! Bytes written in hexadecimal, and W3C trace context.

use indelible_format::Trace;

/// Exactly `N` bytes, in digits of either case.
pub(crate) fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |character: u8| char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// A W3C `traceparent`: version, trace, span, flags.
pub(crate) fn traceparent(text: &str) -> Option<Trace> {
    let mut fields = text.split('-').skip(1);
    Some(Trace { trace_id: hexadecimal(fields.next()?)?, span_id: hexadecimal(fields.next()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_exact() {
        assert_eq!(hexadecimal::<2>("00fF"), Some([0, 255]));
        for text in ["00f", "00ff0", "00fg", "", "é00"] {
            assert_eq!(hexadecimal::<2>(text), None, "{text}");
        }
    }
}
