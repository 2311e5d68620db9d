"""The model of the GPU kernels: how assembly is read, and what follows from it. No compiler is needed."""

from __future__ import annotations

import pytest

from benchmarks import cuda_model
from kernels.cuda.assembly import Resources
from kernels.cuda.loops import Program
from kernels.cuda.occupancy import blocks_at_a_time, occupancy
from kernels.cuda.tiles import LARGE, SMALL, Sizes

PTX = """
.visible .entry kernel()
{
	.reg .f32 	%f<9>;
	mov.u64 	%rd1, 0;
$L__BB0_1:
	@%p1 bra 	$L__BB0_3;
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	add.s64 	%rd1, %rd1, 16;
	bra.uni 	$L__BB0_4;
$L__BB0_3:
	ld.global.f32 	%f1, [%rd1];
$L__BB0_4:
	mov.u64 	%rd2, 0;
$L__BB0_5:
	ld.shared.v4.f32 	{%f5, %f6, %f7, %f8}, [%rd2];
	fma.rn.f32 	%f2, %f5, %f6, %f2;
	fma.rn.f32 	%f3, %f5, %f7, %f3;
	@%p2 bra 	$L__BB0_5;
	bar.sync 	0;
	@%p3 bra 	$L__BB0_1;
	ret;
}
"""
SASS = """
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
.L_x_1:
        /*0010*/              @!P0 BRA `(.L_x_3) ;
        /*0020*/                   LDG.E.128 R4, [R2.64] ;
        /*0030*/                   CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_s64) ;
        /*0040*/                   BRA `(.L_x_4) ;
.L_x_3:
        /*0050*/               @P5 LDG.E R4, [R2.64] ;
.L_x_4:
        /*0060*/                   BSYNC B0 ;
.L_x_5:
        /*0070*/                   LDS.128 R8, [R3.X4+0x100] ;
        /*0080*/                   FFMA R0, R8, R9.reuse, R0 ;
        /*0090*/                   FFMA R1, R8, R10, R1 ;
        /*00a0*/               @P1 BRA `(.L_x_5) ;
        /*00b0*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*00c0*/              @!P2 CALL.REL.NOINC `(.L_x_6) ;
        /*00d0*/                   BRA `(.L_x_1) ;
.L_x_6:
        /*00e0*/                   EXIT ;
$__internal_0_$__cuda_sm20_div_s64:
        /*00f0*/                   IMAD R0, R0, R1, R2 ;
        /*0100*/                   IMAD R0, R0, R1, R2 ;
        /*0110*/                   RET.REL.NODEC R10 `(kernel) ;
"""


@pytest.mark.parametrize(("text", "instructions"), [(PTX, 11), (SASS, 15)], ids=["PTX", "SASS"])
def test_a_loop_within_a_loop_is_counted_on_the_way_of_wide_loads(text, instructions):
    program = Program(text)
    inner, whole = program.loops
    assert program.round_of(inner) == {"all": 4, "fma": 2, "shared loads": 1, "shared bytes": 16}
    mix = program.round_of(whole, inner, times=1)
    assert (mix["global bytes"], mix["fma"], mix["barriers"], mix["all"]) == (16, 2, 1, instructions)
    assert program.round_of(whole, inner, times=3)["all"] == instructions + 2 * 4


@pytest.mark.parametrize(
    ("used", "capability", "blocks"),
    [
        (Resources(32, 0, 0), (7, 5), 4),  # 1024 threads
        (Resources(32, 0, 0), (8, 0), 8),  # 2048 threads
        (Resources(128, 16896, 0), (8, 0), 2),  # all registers
        (Resources(129, 0, 0), (8, 0), 1),
        (Resources(255, 0, 0), (9, 0), 1),
        (Resources(32, 24 * 1024, 0), (7, 5), 2),  # 64 KiB of shared memory
        (Resources(32, 24 * 1024, 0), (9, 0), 8),  # 228 KiB, of which each block gives away one
    ],
)
def test_blocks_that_a_multiprocessor_holds(used, capability, blocks):
    assert blocks_at_a_time(used, capability) == blocks


def test_occupancy_is_a_share_of_all_warps():
    assert occupancy(Resources(128, 0, 0), (8, 0)) == 0.25
    assert occupancy(Resources(128, 0, 0), (7, 5)) == 0.5


def test_what_grows_beyond_the_margin_is_told():
    before = {"8.0": [40, 1024, 0, 75]}
    assert not cuda_model.excess({"8.0": [44, 1280, 0, 75]}, before)
    assert len(cuda_model.excess({"8.0": [45, 1281, 4, 50]}, before)) == 4


def test_tiles_that_are_not_filled_cost_their_share():
    device = cuda_model.DEVICES[1]
    side = LARGE.side * device.multiprocessors
    assert cuda_model.filled(Sizes(side, LARGE.side, 64, LARGE.side), LARGE, device) == 1
    assert cuda_model.filled(Sizes(side, LARGE.side // 2, 64, 64), LARGE, device) == 0.5
    one = cuda_model.filled(Sizes(SMALL.side, SMALL.side, 64, 64), SMALL, device)
    assert one == pytest.approx(1 / device.multiprocessors)
