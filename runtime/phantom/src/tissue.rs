//! Kinds of tissue and what they do to sound.

/// What a material point is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tissue {
    /// Blood in a chamber or vessel.
    Blood,
    /// Wall of a ventricle, papillary muscles.
    Myocardium,
    /// Wall of an atrium or of the pulmonary artery.
    ThinWall,
    /// Valve rings and the fibrous base.
    Fibrous,
    /// Wall of the aorta.
    AorticWall,
    /// The pericardium.
    Pericardium,
    /// Fat around the heart.
    Fat,
    /// Skin, muscle and cartilage under the probe.
    ChestWall,
    /// Connective tissue behind the heart.
    Mediastinum,
    /// Liver, below the heart.
    Liver,
    /// Lung, beside the heart.
    Lung,
    /// Bone under the probe.
    Rib,
    /// Leaflets and cusps.
    Valve,
}

impl Tissue {
    /// Backscattered power without specular reflection, in dB below a strong reflector.
    pub(crate) fn scatter_db(self) -> f32 {
        match self {
            Self::Blood => -58.0,
            Self::Myocardium => -25.0,
            Self::ThinWall => -23.0,
            Self::Fibrous => -15.0,
            Self::AorticWall => -15.0,
            Self::Pericardium => -13.0,
            Self::Fat => -17.0,
            Self::ChestWall => -15.0,
            Self::Mediastinum => -17.0,
            Self::Liver => -23.0,
            Self::Lung => -14.0,
            Self::Rib => -8.0,
            Self::Valve => -8.0,
        }
    }

    /// Change of the echo's power per millimetre of depth, both ways, after the time gain that
    /// makes up for muscle.
    ///
    /// # Units
    /// dB per millimetre.
    pub(crate) fn through_db_per_mm(self) -> f32 {
        match self {
            Self::Blood => 0.045,
            Self::Rib => -7.0,
            Self::Lung => -0.5,
            Self::Pericardium => -0.6,
            Self::Mediastinum => -0.38,
            Self::Fat | Self::ChestWall | Self::AorticWall | Self::Fibrous => -0.05,
            Self::Myocardium | Self::ThinWall | Self::Liver | Self::Valve => 0.0,
        }
    }

    /// How much stronger an interface at right angles to the beam is, in dB.
    pub(crate) fn specular_db(self) -> f32 {
        match self {
            Self::Myocardium | Self::ThinWall => 14.0,
            Self::Valve => 6.0,
            Self::AorticWall | Self::Fibrous => 11.0,
            Self::Pericardium => 15.0,
            _ => 0.0,
        }
    }
}

/// The chambers that masks and volumes tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chamber {
    /// Left ventricle, papillary muscles included.
    LeftVentricle,
    /// Right ventricle with its outflow.
    RightVentricle,
    /// Left atrium.
    LeftAtrium,
    /// Right atrium.
    RightAtrium,
    /// Aortic root and ascending aorta.
    Aorta,
}

impl Chamber {
    /// Every chamber; its number in a mask is its place here, counted from 1.
    pub const ALL: [Self; 5] = [
        Self::LeftVentricle,
        Self::RightVentricle,
        Self::LeftAtrium,
        Self::RightAtrium,
        Self::Aorta,
    ];

    /// The chamber's number in a mask; 0 is everything else.
    pub fn number(self) -> u8 {
        1 + self as u8
    }
}
