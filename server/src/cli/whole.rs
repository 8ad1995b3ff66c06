//! Numbers as people type them: a wrong one is refused with what would be right.

use std::fmt::Display;
use std::str::FromStr;

/// Reads a whole number that is at least `least`.
pub fn at_least<T>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |typed| {
        let number = typed.trim().parse::<T>().ok().filter(|number| *number >= least);
        number.ok_or_else(|| format!("it must be a whole number, {least} or more"))
    }
}

/// Reads a whole number from `least` to `most`.
pub fn within<T>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |typed| {
        let number = typed.trim().parse::<T>().ok();
        let number = number.filter(|number| *number >= least && *number <= most);
        number.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
    }
}

/// Reads a number that may have a fraction.
///
/// # Errors
///
/// When it is none.
pub fn fraction(typed: &str) -> Result<f64, String> {
    let number = typed.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "it must be a number, such as 2.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused_with_what_would_be_one() {
        assert_eq!(within(1_u32, 1000)(" 7 "), Ok(7));
        for typed in ["abc", "", "0", "1001", "-1", "2.5", "99999999999999999999"] {
            let refused = within(1_u32, 1000)(typed);
            assert_eq!(refused, Err("it must be a whole number from 1 to 1000".to_owned()));
        }
        assert_eq!(at_least(0_i64)("-1"), Err("it must be a whole number, 0 or more".to_owned()));
        assert_eq!(fraction("2.5"), Ok(2.5));
        for typed in ["x", "NaN", "inf", ""] {
            assert!(fraction(typed).is_err(), "{typed}");
        }
    }
}
