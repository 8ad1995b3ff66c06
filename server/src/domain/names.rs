//! Enums whose values have the names that clients, the database and the command line write.
//!
//! A name that was stored or sent once is never changed. `names!` is the one place where an enum
//! lists its names.

use super::text::Invalid;

/// An enum made by `names!`.
pub trait Named: Copy + Sized + 'static {
    /// Every value, in the order of the declaration.
    const VALUES: &'static [Self];
    /// Their names, in the same order.
    const VALUE_NAMES: &'static [&'static str];

    /// The value with exactly this name.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::VALUE_NAMES.iter().position(|own| *own == name).map(|at| Self::VALUES[at])
    }

    /// Reads the value of an argument. The error lists every name that the field takes.
    fn parse(field: &'static str, given: &str) -> Result<Self, Invalid> {
        Self::from_name(given).ok_or_else(|| {
            Invalid::new(field, given, format!("one of {}", Self::VALUE_NAMES.join(", ")))
        })
    }

    /// Like [`Named::parse`], for an optional argument.
    fn parse_given(field: &'static str, given: Option<&str>) -> Result<Option<Self>, Invalid> {
        given.map(|given| Self::parse(field, given)).transpose()
    }
}

/// Declares enums and names each of their values once: `Value = "name"`.
///
/// Each gets `ALL` and `NAMES` in the order of the declaration, `name`, and [`Named`] for the way back.
macro_rules! names {
    ($($(#[$meta:meta])* $visibility:vis enum $name:ident { $($(#[$of:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $($(#[$of])* $value,)+ }

        impl $name {
            $visibility const ALL: [Self; [$($text),+].len()] = [$(Self::$value),+];
            $visibility const NAMES: [&'static str; Self::ALL.len()] = [$($text),+];

            #[must_use]
            $visibility const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl $crate::domain::names::Named for $name {
            const VALUES: &'static [Self] = &Self::ALL;
            const VALUE_NAMES: &'static [&'static str] = &Self::NAMES;
        }
    )+};
}
pub(crate) use names;

#[cfg(test)]
mod tests {
    use super::*;

    names! {
        /// A colour of the traffic light.
        enum Colour {
            /// Stop.
            Red = "red",
            DarkAmber = "dark_amber",
        }
    }

    #[test]
    fn each_value_has_its_one_name_and_each_name_its_value() {
        assert_eq!(Colour::NAMES, ["red", "dark_amber"]);
        assert_eq!(Colour::ALL.map(Colour::name), Colour::NAMES);
        for colour in Colour::ALL {
            assert_eq!(Colour::from_name(colour.name()), Some(colour));
        }
        assert_eq!(Colour::from_name("Red"), None, "names are exact");
        assert_eq!(Colour::from_name("DarkAmber"), None);
    }

    #[test]
    fn an_argument_with_no_such_name_is_refused_with_all_names() {
        assert_eq!(Colour::parse("colour", "red"), Ok(Colour::Red));
        let refused = Invalid::new("colour", "blue", "one of red, dark_amber");
        assert_eq!(Colour::parse("colour", "blue"), Err(refused));
        assert_eq!(Colour::parse_given("colour", None), Ok(None));
    }
}
