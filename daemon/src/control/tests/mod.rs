//! `control` as the other roles and operators see it.

mod acknowledgements;
mod archives;
mod decisions;
mod enrolment;
mod evidence;
mod main_path;
mod offers;
mod operators;
mod powers;
mod register;
mod restored;
mod retention;
mod reviews;
mod seals;
mod suspensions;
mod tasks;
mod versions;
mod waiting;
