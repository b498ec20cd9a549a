//! Choosing the CPUs that get a shard.
//!
//! The choice is made only among the CPUs in the thread's affinity mask: inside a container or under `taskset` a
//! machine has fewer CPUs than it has, and pinning outside of the mask fails or, worse, escapes a limit that somebody
//! set on purpose.

use crate::config::CoreSelection;

/// Why the CPUs could not be chosen. The caller's fault, except [`CoresError::Affinity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoresError {
    /// The kernel did not tell the affinity mask.
    #[error("cannot read the CPU affinity of the process: {0}")]
    Affinity(String),
    /// More shards were asked for than there are CPUs.
    #[error("{asked} cores asked for, but the process may use {} (CPUs {available:?}): lower the count, or widen the CPU set (taskset, cpuset, AllowedCPUs=)", available.len())]
    TooFew {
        /// Shards asked for.
        asked: usize,
        /// CPUs in the mask.
        available: Vec<usize>,
    },
    /// A CPU was asked for that the process may not use.
    #[error("CPU {cpu} asked for, but the process may use only CPUs {available:?}")]
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// CPUs in the mask.
        available: Vec<usize>,
    },
    /// A CPU was listed twice.
    #[error("CPU {0} is listed twice: a CPU gets one shard")]
    Twice(usize),
    /// No CPU was asked for.
    #[error("no core asked for: at least one shard is needed")]
    None,
}

/// The CPUs that the calling thread may use, in ascending order.
///
/// # Errors
/// [`CoresError::Affinity`] when the kernel refuses to tell.
pub fn available_cores() -> Result<Vec<usize>, CoresError> {
    affinity::get_thread_affinity().map_err(|error| CoresError::Affinity(error.to_string()))
}

/// Picks the CPUs that `selection` names out of `available`.
pub(crate) fn select(selection: &CoreSelection, available: &[usize]) -> Result<Vec<usize>, CoresError> {
    let chosen = match selection {
        CoreSelection::All => available.to_vec(),
        CoreSelection::Count(count) => available
            .get(..*count)
            .ok_or_else(|| CoresError::TooFew {
                asked: *count,
                available: available.to_vec(),
            })?
            .to_vec(),
        CoreSelection::List(list) => list.clone(),
    };
    if chosen.is_empty() {
        return Err(CoresError::None);
    }
    for (position, &cpu) in chosen.iter().enumerate() {
        if !available.contains(&cpu) {
            return Err(CoresError::NotAllowed {
                cpu,
                available: available.to_vec(),
            });
        }
        if chosen[..position].contains(&cpu) {
            return Err(CoresError::Twice(cpu));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cpus_of_the_mask_are_chosen() {
        let mask = [2, 3, 7];
        assert_eq!(select(&CoreSelection::All, &mask), Ok(vec![2, 3, 7]));
        assert_eq!(select(&CoreSelection::Count(2), &mask), Ok(vec![2, 3]));
        assert_eq!(select(&CoreSelection::List(vec![7, 2]), &mask), Ok(vec![7, 2]));
    }

    #[test]
    fn impossible_choices_say_what_is_there() {
        let mask = [2, 3];
        let message = |selection| select(&selection, &mask).unwrap_err().to_string();
        assert!(message(CoreSelection::Count(3)).contains("may use 2 (CPUs [2, 3])"));
        assert!(message(CoreSelection::List(vec![0])).contains("CPU 0 asked for"));
        assert_eq!(
            select(&CoreSelection::List(vec![3, 3]), &mask),
            Err(CoresError::Twice(3))
        );
        assert_eq!(select(&CoreSelection::Count(0), &mask), Err(CoresError::None));
    }

    #[test]
    fn the_process_may_use_some_cpu() {
        assert!(!available_cores().unwrap().is_empty());
    }
}
