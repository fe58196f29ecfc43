//! The source's half of Sluse: enrolment, and resumable sending of a dataset to a landing zone.
