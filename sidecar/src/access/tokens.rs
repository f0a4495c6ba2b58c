//! The bearer tokens and what each lets one do.

use std::fmt;

use thiserror::Error;
use viewcache_protocol::{Secret, SecretError};

/// What a token lets one do; a greater one lets one do all that a smaller one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything.
    Read,
    /// And change everything.
    Admin,
}

impl Role {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All tokens. Without any, everybody who reaches the port may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(Role, Secret)>);

/// What is wrong with a list of tokens. No message has a token in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// A line is not a role and a token.
    #[error("line {0} is not \"read TOKEN\" or \"admin TOKEN\"")]
    Line(usize),
    /// A line's token is none.
    #[error("line {0}: the token {1}")]
    Token(usize, SecretError),
    /// There is none: that is no way to open the port.
    #[error("has no tokens")]
    Empty,
}

impl Tokens {
    /// A role and a token on each line; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// Names the line.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut tokens = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = line.split_whitespace();
            let role = match words.next() {
                None => continue,
                Some(word) if word.starts_with('#') => continue,
                Some("read") => Role::Read,
                Some("admin") => Role::Admin,
                Some(_) => return Err(TokenError::Line(number)),
            };
            let (Some(token), None) = (words.next(), words.next()) else {
                return Err(TokenError::Line(number));
            };
            let token = token.parse();
            let token = token.map_err(|error| TokenError::Token(number, error))?;
            tokens.add(role, token);
        }
        match tokens.is_empty() {
            true => Err(TokenError::Empty),
            false => Ok(tokens),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One more.
    pub fn add(&mut self, role: Role, token: Secret) {
        self.0.push((role, token));
    }

    /// These and those.
    pub fn with(&self, others: &Self) -> Self {
        Self([&self.0[..], &others.0[..]].concat())
    }

    /// The greatest role of a token that is shown; `None` when it is not known. It is compared with
    /// all of them, so that the time does not tell which one came close.
    pub fn role(&self, shown: &[u8]) -> Option<Role> {
        self.0.iter().fold(None, |role, (of, token)| {
            if token.is(shown) {
                role.max(Some(*of))
            } else {
                role
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_role_and_a_token() {
        let check = |text: &str, expect: Result<usize, TokenError>| {
            let parsed = Tokens::parse(text).map(|tokens| tokens.len());
            assert_eq!(parsed, expect, "{text}");
        };
        let text = "# Grafana\nread 0123456789abcdef\n\n  admin\tfedcba9876543210  \r\n";
        check(text, Ok(2));
        check("", Err(TokenError::Empty));
        check("# nobody\n", Err(TokenError::Empty));
        check("reader 0123456789abcdef", Err(TokenError::Line(1)));
        check("\n0123456789abcdef", Err(TokenError::Line(2)));
        check("read", Err(TokenError::Line(1)));
        check("read 0123456789abcdef x", Err(TokenError::Line(1)));
        let short = SecretError::Length(5);
        check("read short", Err(TokenError::Token(1, short)));
        let other = SecretError::Character;
        check("read 0123456789abcde!", Err(TokenError::Token(1, other)));
    }

    #[test]
    fn a_token_has_the_greatest_role_that_it_stands_under() {
        let text = "read reader-reader-reader\nadmin keeper-keeper-keeper\n\
                    admin both-both-both-both\nread both-both-both-both";
        let tokens = Tokens::parse(text).unwrap();
        let check = |shown: &str, expect: Option<Role>| {
            assert_eq!(tokens.role(shown.as_bytes()), expect, "{shown}");
        };
        check("reader-reader-reader", Some(Role::Read));
        check("keeper-keeper-keeper", Some(Role::Admin));
        check("both-both-both-both", Some(Role::Admin));
        check("reader-reader-reade", None);
        check("", None);
        assert!(!format!("{tokens:?}").contains("reader-"), "{tokens:?}");
        assert_eq!(Tokens::default().role(b""), None);
    }
}
