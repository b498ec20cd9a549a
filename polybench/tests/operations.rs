//! The operation counts of all kernels, counted once more: by the loop nests of their definitions, an addition to a counter
//! in the place of each statement.
//!
//! The nests are written from the definitions and know nothing of the closed forms that they check.

use luge_polybench::suite::{KERNELS, Size};

/// Counts what a kernel of these dimensions does.
type Nest = fn(&[u64]) -> u64;

const NESTS: [(&str, Nest); 30] = [
    ("correlation", correlation),
    ("covariance", covariance),
    ("gemm", gemm),
    ("gemver", gemver),
    ("gesummv", gesummv),
    ("symm", symm),
    ("syr2k", syr2k),
    ("syrk", syrk),
    ("trmm", trmm),
    ("2mm", two_mm),
    ("3mm", three_mm),
    ("atax", atax),
    ("bicg", bicg),
    ("doitgen", doitgen),
    ("mvt", mvt),
    ("cholesky", cholesky),
    ("durbin", durbin),
    ("gramschmidt", gramschmidt),
    ("lu", lu),
    ("ludcmp", ludcmp),
    ("trisolv", trisolv),
    ("deriche", deriche),
    ("floyd-warshall", floyd_warshall),
    ("nussinov", nussinov),
    ("adi", adi),
    ("fdtd-2d", fdtd_2d),
    ("heat-3d", heat_3d),
    ("jacobi-1d", jacobi_1d),
    ("jacobi-2d", jacobi_2d),
    ("seidel-2d", seidel_2d),
];

#[test]
fn closed_forms_and_loop_nests_agree() {
    for (kernel, (name, nest)) in KERNELS.iter().zip(NESTS) {
        assert_eq!(kernel.name, name);
        for size in [Size::Mini, Size::Small] {
            let dimensions = kernel.dimensions(size);
            assert_eq!(kernel.operations(size), nest(dimensions), "{name} {size}");
        }
        // Dimensions that are all different, so that no two can be exchanged.
        let dimensions: Vec<_> = [7, 11, 5, 13, 3][..kernel.parameters.len()].to_vec();
        assert_eq!(
            kernel.operations_of(&dimensions),
            nest(&dimensions),
            "{name} {dimensions:?}"
        );
    }
}

fn correlation(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for _j in 0..m {
        for _i in 0..n {
            ops += 1; // mean += data
        }
        ops += 1; // mean /= n
    }
    for _j in 0..m {
        for _i in 0..n {
            ops += 3; // deviation += (data - mean)^2
        }
        ops += 2; // divided by n, square root
    }
    ops += 1; // the root of n
    for _i in 0..n {
        for _j in 0..m {
            ops += 3; // data = (data - mean) / (root * deviation)
        }
    }
    for i in 0..m - 1 {
        for _j in i + 1..m {
            for _k in 0..n {
                ops += 2;
            }
        }
    }
    ops
}

fn covariance(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for _j in 0..m {
        for _i in 0..n {
            ops += 1;
        }
        ops += 1;
    }
    for _i in 0..n {
        for _j in 0..m {
            ops += 1; // data -= mean
        }
    }
    for i in 0..m {
        for _j in i..m {
            for _k in 0..n {
                ops += 2;
            }
            ops += 1; // divided by n - 1
        }
    }
    ops
}

fn gemm(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _i in 0..d[0] {
        for _j in 0..d[1] {
            ops += 1; // C *= beta
        }
        for _k in 0..d[2] {
            ops += 1; // alpha * A[i][k]
            for _j in 0..d[1] {
                ops += 2;
            }
        }
    }
    ops
}

fn gemver(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _i in 0..d[0] {
        for _j in 0..d[0] {
            ops += 4; // A += u1 v1 + u2 v2
        }
    }
    for _i in 0..d[0] {
        for _j in 0..d[0] {
            ops += 3; // x += beta * A * y
        }
    }
    for _i in 0..d[0] {
        ops += 1; // x += z
    }
    for _i in 0..d[0] {
        for _j in 0..d[0] {
            ops += 3; // w += alpha * A * x
        }
    }
    ops
}

fn gesummv(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _i in 0..d[0] {
        for _j in 0..d[0] {
            ops += 2; // tmp += A * x
            ops += 2; // y += B * x
        }
        ops += 3; // y = alpha * tmp + beta * y
    }
    ops
}

fn symm(d: &[u64]) -> u64 {
    let mut ops = 0;
    for i in 0..d[0] {
        for _j in 0..d[1] {
            ops += 1; // alpha * B[i][j]
            for _k in 0..i {
                ops += 2; // C[k][j] += that * A[i][k]
                ops += 2; // sum += B[k][j] * A[i][k]
            }
            ops += 5; // C = beta * C + that * A[i][i] + alpha * sum
        }
    }
    ops
}

fn syr2k(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for i in 0..n {
        for _j in 0..=i {
            ops += 1; // C *= beta
        }
        for _k in 0..m {
            for _j in 0..=i {
                ops += 6; // C += A[j][k] * alpha * B[i][k] + B[j][k] * alpha * A[i][k]
            }
        }
    }
    ops
}

fn syrk(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for i in 0..n {
        for _j in 0..=i {
            ops += 1;
        }
        for _k in 0..m {
            ops += 1; // alpha * A[i][k]
            for _j in 0..=i {
                ops += 2;
            }
        }
    }
    ops
}

fn trmm(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for i in 0..m {
        for _j in 0..n {
            for _k in i + 1..m {
                ops += 2;
            }
            ops += 1; // B *= alpha
        }
    }
    ops
}

fn two_mm(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _i in 0..d[0] {
        for _j in 0..d[1] {
            for _k in 0..d[2] {
                ops += 3; // tmp += alpha * A * B
            }
        }
    }
    for _i in 0..d[0] {
        for _j in 0..d[3] {
            ops += 1; // D *= beta
            for _k in 0..d[1] {
                ops += 2;
            }
        }
    }
    ops
}

/// A plain product of two matrices.
fn product(rows: u64, columns: u64, inner: u64) -> u64 {
    let mut ops = 0;
    for _i in 0..rows {
        for _j in 0..columns {
            for _k in 0..inner {
                ops += 2;
            }
        }
    }
    ops
}

fn three_mm(d: &[u64]) -> u64 {
    let [ni, nj, nk, nl, nm] = [d[0], d[1], d[2], d[3], d[4]];
    product(ni, nj, nk) + product(nj, nl, nm) + product(ni, nl, nj)
}

fn atax(d: &[u64]) -> u64 {
    product(d[0], 1, d[1]) + product(d[1], 1, d[0])
}

fn bicg(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _i in 0..d[1] {
        for _j in 0..d[0] {
            ops += 2; // s += r * A
            ops += 2; // q += A * p
        }
    }
    ops
}

fn doitgen(d: &[u64]) -> u64 {
    let [nq, nr, np] = [d[0], d[1], d[2]];
    let mut ops = 0;
    for _r in 0..nr {
        for _q in 0..nq {
            for _p in 0..np {
                for _s in 0..np {
                    ops += 2;
                }
            }
        }
    }
    ops
}

fn mvt(d: &[u64]) -> u64 {
    2 * product(d[0], 1, d[0])
}

fn cholesky(d: &[u64]) -> u64 {
    let mut ops = 0;
    for i in 0..d[0] {
        for j in 0..i {
            for _k in 0..j {
                ops += 2;
            }
            ops += 1;
        }
        for _k in 0..i {
            ops += 2;
        }
        ops += 1; // square root
    }
    ops
}

fn durbin(d: &[u64]) -> u64 {
    let mut ops = 0;
    for k in 1..d[0] {
        ops += 3; // beta *= 1 - alpha * alpha
        for _i in 0..k {
            ops += 2; // sum += r * y
        }
        ops += 2; // alpha = -(r + sum) / beta
        for _i in 0..k {
            ops += 2; // z = y + alpha * y
        }
    }
    ops
}

fn gramschmidt(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let mut ops = 0;
    for k in 0..n {
        for _i in 0..m {
            ops += 2; // norm += A * A
        }
        ops += 1;
        for _i in 0..m {
            ops += 1; // Q = A / R
        }
        for _j in k + 1..n {
            for _i in 0..m {
                ops += 2; // R += Q * A
            }
            for _i in 0..m {
                ops += 2; // A -= Q * R
            }
        }
    }
    ops
}

fn lu(d: &[u64]) -> u64 {
    let n = d[0];
    let mut ops = 0;
    for i in 0..n {
        for j in 0..i {
            for _k in 0..j {
                ops += 2;
            }
            ops += 1;
        }
        for _j in i..n {
            for _k in 0..i {
                ops += 2;
            }
        }
    }
    ops
}

fn ludcmp(d: &[u64]) -> u64 {
    let n = d[0];
    let mut ops = lu(d);
    for i in 0..n {
        for _j in 0..i {
            ops += 2; // forward
        }
    }
    for i in 0..n {
        for _j in i + 1..n {
            ops += 2; // back
        }
        ops += 1;
    }
    ops
}

fn trisolv(d: &[u64]) -> u64 {
    let mut ops = 0;
    for i in 0..d[0] {
        for _j in 0..i {
            ops += 2;
        }
        ops += 1;
    }
    ops
}

fn deriche(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _along_rows_then_columns in 0..2 {
        for _forward_then_back in 0..2 {
            for _i in 0..d[0] {
                for _j in 0..d[1] {
                    ops += 4 + 3; // four products and their sum
                }
            }
        }
        for _i in 0..d[0] {
            for _j in 0..d[1] {
                ops += 1; // y1 + y2; the factor c is 1
            }
        }
    }
    ops
}

fn floyd_warshall(d: &[u64]) -> u64 {
    product(d[0], d[0], d[0])
}

fn nussinov(d: &[u64]) -> u64 {
    let n = d[0];
    let mut ops = 0;
    for i in (0..n).rev() {
        for j in i + 1..n {
            ops += 2; // left and below
            ops += if i + 1 < j { 2 } else { 1 }; // the inner pair, with its score
            for _k in i + 1..j {
                ops += 2;
            }
        }
    }
    ops
}

fn adi(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _t in 0..d[0] {
        for _columns_then_rows in 0..2 {
            for _i in 1..d[1] - 1 {
                for _j in 1..d[1] - 1 {
                    ops += 2; // a * p + b
                    ops += 1; // p = -c / that
                    ops += 4 + 3 + 1; // q: four products, their sum, divided by that
                }
                for _j in 1..d[1] - 1 {
                    ops += 2; // v = p * v + q
                }
            }
        }
    }
    ops
}

fn fdtd_2d(d: &[u64]) -> u64 {
    let [steps, nx, ny] = [d[0], d[1], d[2]];
    let mut ops = 0;
    for _t in 0..steps {
        for _i in 1..nx {
            for _j in 0..ny {
                ops += 3;
            }
        }
        for _i in 0..nx {
            for _j in 1..ny {
                ops += 3;
            }
        }
        for _i in 0..nx - 1 {
            for _j in 0..ny - 1 {
                ops += 5;
            }
        }
    }
    ops
}

fn heat_3d(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _t in 0..d[0] {
        for _there_and_back in 0..2 {
            for _i in 1..d[1] - 1 {
                for _j in 1..d[1] - 1 {
                    for _k in 1..d[1] - 1 {
                        ops += 1; // 2 * A
                        ops += 3 * 3; // 0.125 * (A - that + A), in each direction
                        ops += 3; // and their sum with A
                    }
                }
            }
        }
    }
    ops
}

fn jacobi_1d(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _t in 0..d[0] {
        for _there_and_back in 0..2 {
            for _i in 1..d[1] - 1 {
                ops += 3;
            }
        }
    }
    ops
}

fn jacobi_2d(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _t in 0..d[0] {
        for _there_and_back in 0..2 {
            for _i in 1..d[1] - 1 {
                for _j in 1..d[1] - 1 {
                    ops += 5;
                }
            }
        }
    }
    ops
}

fn seidel_2d(d: &[u64]) -> u64 {
    let mut ops = 0;
    for _t in 0..d[0] {
        for _i in 1..d[1] - 1 {
            for _j in 1..d[1] - 1 {
                ops += 9;
            }
        }
    }
    ops
}
