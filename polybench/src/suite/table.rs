//! The thirty kernels, in the suite's order: category, dimensions for each size, what is counted and what is left.
//!
//! Dimensions are those of PolyBench/C 4.2. Two indices of an output name the dimensions that are its extents.

use super::Arithmetic::{Float, Integer};
use super::Category::{Blas, DataMining, Kernels, Medley, Solvers, Stencils};
use super::Element::{F32, F64, I32};
use super::{Kernel, Output, operations};

/// One line per fact of a kernel; its files are found by its name.
macro_rules! kernel {
    ($name:literal, $category:ident, $arithmetic:ident, $count:ident,
     [$($parameter:literal)+], [$([$($dimension:literal)+])+], [$($output:literal $element:ident [$($extent:literal)+]),+]) => {
        Kernel {
            name: $name,
            category: $category,
            arithmetic: $arithmetic,
            parameters: &[$($parameter),+],
            dimensions: [$(&[$($dimension),+]),+],
            outputs: &[$(Output { name: $output, element: $element, shape: &[$($extent),+] }),+],
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $name, ".c")),
            count: operations::$count,
            scalar: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/wasm/", $name, ".wasm")),
            simd: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/wasm/", $name, ".simd.wasm")),
        }
    };
}

/// All kernels, in the order of reports.
pub static KERNELS: &[Kernel] = &[
    kernel!(
        "correlation", DataMining, Float, correlation, ["M" "N"],
        [[28 32] [80 100] [240 260] [1200 1400] [2600 3000]],
        ["corr" F64 [0 0]]
    ),
    kernel!(
        "covariance", DataMining, Float, covariance, ["M" "N"],
        [[28 32] [80 100] [240 260] [1200 1400] [2600 3000]],
        ["cov" F64 [0 0]]
    ),
    kernel!(
        "gemm", Blas, Float, gemm, ["NI" "NJ" "NK"],
        [[20 25 30] [60 70 80] [200 220 240] [1000 1100 1200] [2000 2300 2600]],
        ["C" F64 [0 1]]
    ),
    kernel!(
        "gemver", Blas, Float, gemver, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["w" F64 [0]]
    ),
    kernel!(
        "gesummv", Blas, Float, gesummv, ["N"],
        [[30] [90] [250] [1300] [2800]],
        ["y" F64 [0]]
    ),
    kernel!(
        "symm", Blas, Float, symm, ["M" "N"],
        [[20 30] [60 80] [200 240] [1000 1200] [2000 2600]],
        ["C" F64 [0 1]]
    ),
    kernel!(
        "syr2k", Blas, Float, syr2k, ["M" "N"],
        [[20 30] [60 80] [200 240] [1000 1200] [2000 2600]],
        ["C" F64 [1 1]]
    ),
    kernel!(
        "syrk", Blas, Float, syrk, ["M" "N"],
        [[20 30] [60 80] [200 240] [1000 1200] [2000 2600]],
        ["C" F64 [1 1]]
    ),
    kernel!(
        "trmm", Blas, Float, trmm, ["M" "N"],
        [[20 30] [60 80] [200 240] [1000 1200] [2000 2600]],
        ["B" F64 [0 1]]
    ),
    kernel!(
        "2mm", Kernels, Float, two_mm, ["NI" "NJ" "NK" "NL"],
        [[16 18 22 24] [40 50 70 80] [180 190 210 220] [800 900 1100 1200] [1600 1800 2200 2400]],
        ["D" F64 [0 3]]
    ),
    kernel!(
        "3mm", Kernels, Float, three_mm, ["NI" "NJ" "NK" "NL" "NM"],
        [[16 18 20 22 24] [40 50 60 70 80] [180 190 200 210 220] [800 900 1000 1100 1200] [1600 1800 2000 2200 2400]],
        ["G" F64 [0 3]]
    ),
    kernel!(
        "atax", Kernels, Float, two_matrix_vector, ["M" "N"],
        [[38 42] [116 124] [390 410] [1900 2100] [1800 2200]],
        ["y" F64 [1]]
    ),
    kernel!(
        "bicg", Kernels, Float, two_matrix_vector, ["M" "N"],
        [[38 42] [116 124] [390 410] [1900 2100] [1800 2200]],
        ["s" F64 [0], "q" F64 [1]]
    ),
    kernel!(
        "doitgen", Kernels, Float, doitgen, ["NQ" "NR" "NP"],
        [[8 10 12] [20 25 30] [40 50 60] [140 150 160] [220 250 270]],
        ["A" F64 [1 0 2]]
    ),
    kernel!(
        "mvt", Kernels, Float, two_matrix_vector, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["x1" F64 [0], "x2" F64 [0]]
    ),
    kernel!(
        "cholesky", Solvers, Float, cholesky, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["A" F64 [0 0]]
    ),
    kernel!(
        "durbin", Solvers, Float, durbin, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["y" F64 [0]]
    ),
    kernel!(
        "gramschmidt", Solvers, Float, gramschmidt, ["M" "N"],
        [[20 30] [60 80] [200 240] [1000 1200] [2000 2600]],
        ["R" F64 [1 1], "Q" F64 [0 1]]
    ),
    kernel!(
        "lu", Solvers, Float, lu, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["A" F64 [0 0]]
    ),
    kernel!(
        "ludcmp", Solvers, Float, ludcmp, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["x" F64 [0]]
    ),
    kernel!(
        "trisolv", Solvers, Float, trisolv, ["N"],
        [[40] [120] [400] [2000] [4000]],
        ["x" F64 [0]]
    ),
    kernel!(
        "deriche", Medley, Float, deriche, ["W" "H"],
        [[64 64] [192 128] [720 480] [4096 2160] [7680 4320]],
        ["out" F32 [0 1]]
    ),
    kernel!(
        "floyd-warshall", Medley, Integer, floyd_warshall, ["N"],
        [[60] [180] [500] [2800] [5600]],
        ["path" I32 [0 0]]
    ),
    kernel!(
        "nussinov", Medley, Integer, nussinov, ["N"],
        [[60] [180] [500] [2500] [5500]],
        ["table" I32 [0 0]]
    ),
    kernel!(
        "adi", Stencils, Float, adi, ["TSTEPS" "N"],
        [[20 20] [40 60] [100 200] [500 1000] [1000 2000]],
        ["u" F64 [1 1]]
    ),
    kernel!(
        "fdtd-2d", Stencils, Float, fdtd_2d, ["TMAX" "NX" "NY"],
        [[20 20 30] [40 60 80] [100 200 240] [500 1000 1200] [1000 2000 2600]],
        ["ex" F64 [1 2], "ey" F64 [1 2], "hz" F64 [1 2]]
    ),
    kernel!(
        "heat-3d", Stencils, Float, heat_3d, ["TSTEPS" "N"],
        [[20 10] [40 20] [100 40] [500 120] [1000 200]],
        ["A" F64 [1 1 1]]
    ),
    kernel!(
        "jacobi-1d", Stencils, Float, jacobi_1d, ["TSTEPS" "N"],
        [[20 30] [40 120] [100 400] [500 2000] [1000 4000]],
        ["A" F64 [1]]
    ),
    kernel!(
        "jacobi-2d", Stencils, Float, jacobi_2d, ["TSTEPS" "N"],
        [[20 30] [40 90] [100 250] [500 1300] [1000 2800]],
        ["A" F64 [1 1]]
    ),
    kernel!(
        "seidel-2d", Stencils, Float, seidel_2d, ["TSTEPS" "N"],
        [[20 40] [40 120] [100 400] [500 2000] [1000 4000]],
        ["A" F64 [1 1]]
    ),
];
