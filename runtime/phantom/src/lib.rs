//! A simulated beating heart and the ultrasound images of it.
//!
//! One heart in three dimensions is made of scatterers that move with its tissue. A view is a pose
//! of the probe: the image plane cuts the same heart, as thick as the beam, and the echoes of the
//! scatterers in it are summed, filtered and shown as a scanner would. Ejection fraction, views and
//! times are known exactly. No clinical meaning.
//!
//! # Units
//! Millimetres, degrees, milliseconds, percent and dB, as the names say.
#![forbid(unsafe_code)]

mod anatomy;
mod canvas;
mod cloud;
mod cycle;
mod echo;
mod error;
mod exam;
mod gain;
mod heart;
mod imaging;
mod label;
mod mask;
mod motion;
mod noise;
mod other;
mod phantom;
mod picture;
mod polar;
mod pose;
mod random;
mod response;
mod rhythm;
mod scan;
mod scanner;
mod screen;
mod shape;
mod spec;
mod tissue;
mod truth;
mod valve;
mod vector;
mod view;

pub use anatomy::Anatomy;
pub use error::PhantomError;
pub use exam::{Exam, Subject, Waypoint};
pub use heart::Heart;
pub use imaging::Imaging;
pub use label::{BORDER, PoseError, label, pose_error};
pub use motion::{HeartState, Motion};
pub use phantom::Phantom;
pub use pose::{Pose, PoseOffset, Window};
pub use random::Random;
pub use rhythm::{Beat, Beats, Rhythm};
pub use scan::{Layout, Placement};
pub use screen::{Decoration, Screen, Skin};
pub use spec::Spec;
pub use tissue::{Chamber, Tissue};
pub use truth::{BeatTruth, Truth};
pub use vector::Vec3;
pub use view::View;
