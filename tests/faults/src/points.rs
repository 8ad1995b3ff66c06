//! Points that are named in one place and reached in another.

/// The points around one write to the database.
#[derive(Clone, Copy, Debug)]
pub struct Points {
    #[cfg(feature = "crash-points")]
    names: Option<[&'static str; 3]>,
}

/// The points on both sides of one step.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    #[cfg(feature = "crash-points")]
    names: Option<[&'static str; 2]>,
}

#[cfg(not(feature = "crash-points"))]
impl Points {
    /// A write without points.
    pub const NONE: Self = Self {};

    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn named(_names: [&'static str; 3]) -> Self {
        Self {}
    }

    /// The point before the transaction begins.
    #[inline]
    pub fn before_begin(self) {}

    /// The point before the transaction is committed.
    #[inline]
    pub fn before_commit(self) {}

    /// The point between the commit and the answer to the caller.
    #[inline]
    pub fn after_commit(self) {}
}

#[cfg(not(feature = "crash-points"))]
impl Sides {
    /// A step without points.
    pub const NONE: Self = Self {};

    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn named(_names: [&'static str; 2]) -> Self {
        Self {}
    }

    /// The point before the step.
    #[inline]
    pub fn before(self) {}

    /// The point after the step.
    #[inline]
    pub fn after(self) {}
}

#[cfg(feature = "crash-points")]
impl Points {
    /// A write without points.
    pub const NONE: Self = Self { names: None };

    #[doc(hidden)]
    #[must_use]
    pub const fn named(names: [&'static str; 3]) -> Self {
        Self { names: Some(names) }
    }

    /// The point before the transaction begins.
    pub fn before_begin(self) {
        self.names.iter().for_each(|[name, _, _]| crate::reach(name));
    }

    /// The point before the transaction is committed.
    pub fn before_commit(self) {
        self.names.iter().for_each(|[_, name, _]| crate::reach(name));
    }

    /// The point between the commit and the answer to the caller.
    pub fn after_commit(self) {
        self.names.iter().for_each(|[_, _, name]| crate::reach(name));
    }
}

#[cfg(feature = "crash-points")]
impl Sides {
    /// A step without points.
    pub const NONE: Self = Self { names: None };

    #[doc(hidden)]
    #[must_use]
    pub const fn named(names: [&'static str; 2]) -> Self {
        Self { names: Some(names) }
    }

    /// The point before the step.
    pub fn before(self) {
        self.names.iter().for_each(|[name, _]| crate::reach(name));
    }

    /// The point after the step.
    pub fn after(self) {
        self.names.iter().for_each(|[_, name]| crate::reach(name));
    }
}
