//! The queries of requests: each parameter is taken once, and none may be left.

use std::fmt::Display;
use std::str::FromStr;

use super::problem::Problem;

/// The items of a page unless `limit` says otherwise.
const PAGE: usize = 100;

/// The most that `limit` may say.
pub(super) const PAGE_MAX: usize = 1000;

/// The parameters that were not taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Problem::refused(&name, &*value, "is one value too many"));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// A parameter as it is written.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A parameter that means something.
    pub(super) fn read<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(why) => Err(Problem::refused(name, text, why)),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Problem::refused(name, other, "is not true or false")),
        }
    }

    /// A number from 1 to `most`.
    pub(super) fn number(&mut self, name: &str, most: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let why = format!("is not a number from 1 to {most}");
                Err(Problem::refused(name, text, why))
            }
        }
    }

    /// How many items a page is to have.
    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.number("limit", PAGE_MAX as u32)?;
        Ok(limit.map_or(PAGE, |limit| limit as usize))
    }

    /// Refuses what was not taken.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, value)) => Err(Problem::refused(&name, value, "is not asked for here")),
        }
    }
}
