//! What a route takes and answers, as the API's description tells it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::body::Kind;
use super::entities::MAX_LISTED;
use super::query::PAGE_MAX;

/// Something that a request may have in its query or its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) about: &'static str,
}

/// What a parameter can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Any text, and one that may be.
    Text(&'static str),
    /// A number from 1 to this.
    Number(u32),
    /// `true` or `false`.
    Flag,
    /// One of these.
    One(&'static [&'static str]),
    /// Some of these, with commas between them.
    Some(&'static [&'static str]),
}

impl Parameter {
    pub(super) const fn new(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, about }
    }
}

/// How many items a page has.
pub(super) const LIMIT: Parameter = Parameter::new(
    "limit",
    Form::Number(PAGE_MAX as u32),
    "How many items a page has at the most; 100 unless it is said.",
);

/// Where a page begins.
pub(super) const CURSOR: Parameter = Parameter::new(
    "cursor",
    Form::Text("0123456789abcdef0123456789abcdef"),
    "`next` of the page before it, under the same sort and filters.",
);

/// By what a list is sorted.
pub(super) const SORT: Parameter = Parameter::new(
    "sort",
    Form::One(&[
        "id",
        "-id",
        "started_at",
        "-started_at",
        "last_accessed",
        "-last_accessed",
        "cached_bytes",
        "-cached_bytes",
        "hits",
        "-hits",
    ]),
    "By what; with a minus the greatest first. By another than `id` everything is looked at.",
);

/// Into how many parts each item's coverage is divided.
pub(super) const COVERAGE: Parameter = Parameter::new(
    "coverage",
    Form::Number(MAX_LISTED),
    "Tells how much of each of so many parts is stored.",
);

/// What the path may have in place of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// An entity or a download.
    Entity,
    /// A video.
    Video,
    /// A channel.
    Channel,
    /// An import.
    Import,
}

/// How something is made.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The shape of a type.
pub(super) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    pub(super) kind: Kind,
    /// `None` is any bytes.
    pub(super) shape: Option<Shape>,
}

/// What an answer brings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    /// JSON of this shape.
    Json(Shape),
    /// Text of one of these media types.
    Text(&'static [&'static str]),
    /// No content.
    Nothing,
}

/// All of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    /// What it is among.
    pub(super) tag: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What else is to be known.
    pub(super) detail: &'static str,
    pub(super) id: Option<Id>,
    pub(super) query: &'static [Parameter],
    pub(super) header: &'static [Parameter],
    pub(super) takes: Option<Takes>,
    pub(super) status: u16,
    pub(super) gives: Gives,
    /// Whether the answer has an entity tag, and the request may have conditions.
    pub(super) tagged: bool,
    /// Whether it names where what it has made is.
    pub(super) located: bool,
    /// With which statuses it fails, beside those that follow from the rest.
    pub(super) fails: &'static [u16],
}

impl About {
    /// What a route does that answers in JSON of the shape of `T`.
    pub(super) const fn json<T: JsonSchema>(tag: &'static str, summary: &'static str) -> Self {
        Self::new(tag, summary, 200, Gives::Json(shape::<T>))
    }

    /// The same for one that answers with no content.
    pub(super) const fn nothing(tag: &'static str, summary: &'static str) -> Self {
        Self::new(tag, summary, 204, Gives::Nothing)
    }

    /// The same for one that answers with text.
    pub(super) const fn text(
        tag: &'static str,
        summary: &'static str,
        media: &'static [&'static str],
    ) -> Self {
        Self::new(tag, summary, 200, Gives::Text(media))
    }

    const fn new(tag: &'static str, summary: &'static str, status: u16, gives: Gives) -> Self {
        Self {
            tag,
            summary,
            detail: "",
            id: None,
            query: &[],
            header: &[],
            takes: None,
            status,
            gives,
            tagged: false,
            located: false,
            fails: &[],
        }
    }

    pub(super) const fn detail(self, detail: &'static str) -> Self {
        Self { detail, ..self }
    }

    /// It is about what the path names.
    pub(super) const fn of(self, id: Id) -> Self {
        let id = Some(id);
        Self { id, ..self }
    }

    pub(super) const fn asks(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn heeds(self, header: &'static [Parameter]) -> Self {
        Self { header, ..self }
    }

    /// A JSON document of the shape of `T`.
    pub(super) const fn takes<T: JsonSchema>(self) -> Self {
        self.taking(Kind::Json, Some(shape::<T>))
    }

    /// A merge patch of something of the shape of `T`.
    pub(super) const fn patches<T: JsonSchema>(self) -> Self {
        self.taking(Kind::Patch, Some(shape::<T>))
    }

    /// Any bytes.
    pub(super) const fn takes_any(self) -> Self {
        self.taking(Kind::Any, None)
    }

    const fn taking(self, kind: Kind, shape: Option<Shape>) -> Self {
        let takes = Some(Takes { kind, shape });
        Self { takes, ..self }
    }

    pub(super) const fn tagged(self) -> Self {
        let tagged = true;
        Self { tagged, ..self }
    }

    /// What it makes is to be had elsewhere, when it is done.
    pub(super) const fn accepts(self) -> Self {
        Self {
            status: 202,
            located: true,
            ..self
        }
    }

    pub(super) const fn fails(self, fails: &'static [u16]) -> Self {
        Self { fails, ..self }
    }
}
