//! `control` as the other roles and operators see it.

mod acknowledgements;
mod archives;
mod decisions;
mod enrolment;
mod evidence;
mod keys;
mod main_path;
mod offers;
mod operators;
mod powers;
mod purges;
mod register;
mod restored;
mod retention;
mod reviews;
mod seals;
mod suspensions;
mod tasks;
mod versions;
mod waiting;
