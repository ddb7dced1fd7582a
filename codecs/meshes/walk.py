r"""The coder of a mesh: one walk over its triangles that encodes, decodes or measures.

The mesh is conquered triangle by triangle, from start triangles outwards. One vertex at a time, the *focus*, has all
its gates closed (see `front`, and `agenda` for which one):

```text
        c            gate p→q of a conquered triangle; the triangle on its other side is (q, p, c).
       / \           Symbols say what c is:
      /   \             FOCUS     the open neighbour that closes the fan around the focus
     p─────q            NEW       a vertex not seen before
      \▓▓▓/             FAR       the open neighbour that closes the fan around the other end
       \▓/              BOUNDARY  there is no triangle
                        OTHER     any vertex seen before, by number
```

Any list of triangles can be coded, manifold or not: edges with three triangles, flipped neighbours and vertices where
surfaces touch cost an OTHER or a new start, never a duplicated vertex. Triangles with two equal corners are excluded.

Positions are coded in between: new vertices of a fan wait until its next symbol is not NEW. Then it is known how many
vertices share the open angle, which says where they are; and all later symbols see the angles and distances of what
is there, which says most of what they will be.
"""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.binary import COST, DECODE, MODE, code_raw
from squeeze3d.codecs.meshes.agenda import make_agenda, next_focus, touch
from squeeze3d.codecs.meshes.cells import EARLIER, HALF, LAST, OPEN, SECOND, START, THIRD, code_cell
from squeeze3d.codecs.meshes.front import close, conquer, make_edges, make_front, place_of, pop, push
from squeeze3d.codecs.meshes.lattice import (
    TURNS,
    cosine_class,
    length_of,
    normal_of,
    square_between,
    turn_between,
)
from squeeze3d.codecs.meshes.layout import (
    DECISIONS,
    IS_BOUNDARY,
    IS_FAR,
    IS_FOCUS,
    IS_NEW,
    STARTS,
    SYMBOL_MIXER,
    SYMBOLS,
)
from squeeze3d.codecs.meshes.prediction import FEATURES, FRACTION, class_of, collect
from squeeze3d.codecs.meshes.residuals import decide, decide_alone
from squeeze3d.codecs.meshes.search import EFFORT, code_known
from squeeze3d.compiled import compiled

NEW, FOCUS, FAR, BOUNDARY, OTHER = range(5)
GOOD, BAD_VERTEX, DEGENERATE, OUT_OF_GRID, TOO_SLOW = range(5)
"""What a walk returns."""
GUESSES = 3
FITTED, ACROSS, BETWEEN = range(GUESSES)
"""Predictions: by fitted weights, by the parallelogram across the gate, by the mean of that and the closing one."""
GUESS_ERRORS = 12
"""Their first place in `Mesh.memory`."""


@compiled
def _code_fan(stream, mesh, table, bits, step, f, g, o, n, o2, h, first, count, scratch):  # type: ignore[no-untyped-def]
    """Code the cells of `count` new vertices of a fan, from `first` on; False if one leaves the grid."""
    at = mesh.cells
    features, prediction, other, normal, repeats, guesses = scratch
    memory = mesh.memory
    for k in range(count):
        c = first + k
        rest = count - k
        kind = OPEN if n < 0 else (LAST if rest == 1 else EARLIER)
        group = class_of(at, f, g, o, n, o2, h, rest)
        collect(at, f, g, o, n, o2, h, features)
        turn = group // 2 % TURNS
        top = ((1 << bits) - 1) << FRACTION
        for axis in range(3):
            total = at[f, axis] << FRACTION
            for j in range(FEATURES):
                total += table[group, j] * features[j, axis]
            guesses[FITTED, axis] = min(max(total, 0), top)
            across = at[f, axis] + at[g, axis] - at[o, axis]
            guesses[ACROSS, axis] = across << FRACTION
            between = across + at[n, axis] + at[f, axis] - at[o2, axis] if kind == LAST else 2 * across
            guesses[BETWEEN, axis] = between << (FRACTION - 1)
        # What has been best of late; regular meshes are all parallelograms, simplified ones have none.
        errors = GUESS_ERRORS + GUESSES * kind
        second = ACROSS if kind != LAST or memory[errors + ACROSS] < memory[errors + BETWEEN] else BETWEEN
        best = second if memory[errors + second] < memory[errors + FITTED] else FITTED
        if best == second:
            second = FITTED
        for axis in range(3):
            prediction[axis], other[axis] = guesses[best, axis], guesses[second, axis]
        # The triangle behind the gate, and the one behind the closing edge.
        nx, ny, nz = normal_of(at, f, g, o)
        if n >= 0:
            bx, by, bz = normal_of(at, n, f, o2)
            nx, ny, nz = nx + bx, ny + by, nz + bz
        normal[0], normal[1], normal[2] = nx, ny, nz
        square = square_between(at, f, g)
        if n >= 0:
            square = (square + square_between(at, f, n)) // 2
        if len(mesh.samples):
            index = mesh.memory[8]
            mesh.classes[index] = group
            for axis in range(3):
                for j in range(FEATURES):
                    mesh.samples[index, j, axis] = features[j, axis]
                mesh.samples[index, FEATURES, axis] = at[c, axis] - at[f, axis]
            mesh.memory[8] = index + 1
        repeats[0], repeats[1] = f, g
        style = 0 if best == FITTED else 2
        if not code_cell(stream, mesh, bits, step, c, prediction, other, normal, square, kind, turn, style, repeats):
            return False
        for guess in range(GUESSES):
            size = 0
            for axis in range(3):
                error = ((guesses[guess, axis] + HALF) >> FRACTION) - at[c, axis]
                size += error * error
            memory[errors + guess] += ((length_of(size) << 8) - memory[errors + guess]) >> 3
        mesh.memory[6] += square_between(at, f, c)
        mesh.memory[7] += 1
        o, g, h = g, c, np.int64(-1)
    return True


@compiled
def _code_start(stream, mesh, front, bits, step, corners, last, scratch, effort):  # type: ignore[no-untyped-def]
    """Code a triangle that no gate leads to.

    In an encoder `corners` has new numbers, where new vertices have the next ones; a decoder fills it in. Returns
    a status.
    """
    _, prediction, other, normal, repeats, _ = scratch
    coding = stream.state[MODE] != DECODE
    normal[0] = normal[1] = normal[2] = 0
    # Numbers written out would each compile functions anew: their types know the value.
    none, one = np.int64(-1), np.int64(1)
    for corner in range(3):
        count = mesh.sizes[1]
        known = 1 if coding and corners[corner] < count else 0
        known = decide_alone(stream, STARTS + corner, known)
        if known:
            near = corners[corner - 1] if corner else last
            x, y, z = mesh.cells[near, 0], mesh.cells[near, 1], mesh.cells[near, 2]
            a, b = (corners[0] if corner else none), (corners[1] if corner == 2 else none)
            corners[corner] = code_known(
                stream, mesh, front, x, y, z, none, one, a, b, none, none, corners[corner], effort
            )
            if corners[corner] >= count:
                return BAD_VERTEX
            continue
        corners[corner] = count
        if count == 0:
            for axis in range(3):
                cell = mesh.cells[count, axis] if coding else 0
                mesh.cells[count, axis] = code_raw(stream.state, stream.data, bits, cell)
        else:
            if corner == 0:
                first, second = last, count - 1
                square = 1 << (2 * bits - 4)
                kind = START
            elif corner == 1:
                first, second = corners[0], last
                square = mesh.memory[6] // mesh.memory[7] if mesh.memory[7] else 1 << (2 * bits - 5)
                kind = SECOND
            else:
                first, second = corners[1], corners[0]
                square = square_between(mesh.cells, first, second)
                kind = THIRD
            repeats[0], repeats[1] = first, second
            for axis in range(3):
                prediction[axis] = mesh.cells[first, axis] << FRACTION
                other[axis] = mesh.cells[second, axis] << FRACTION
                if corner == 2:
                    prediction[axis] = (prediction[axis] + other[axis]) // 2
            if not code_cell(
                stream, mesh, bits, step, count, prediction, other, normal, square, kind, corner, one, repeats
            ):
                return OUT_OF_GRID
            if corner > 0:
                mesh.memory[6] += square_between(mesh.cells, corners[0], count)
                mesh.memory[7] += 1
        mesh.sizes[1] = count + 1
    if corners[0] == corners[1] or corners[1] == corners[2] or corners[2] == corners[0]:
        return DEGENERATE
    return GOOD


@compiled
def _code_symbol(stream, symbol, has_near, has_far, stage):  # type: ignore[no-untyped-def]
    """Code a symbol in the contexts `stream.places`; returns it."""
    mixer = SYMBOL_MIXER + DECISIONS * stage
    if has_near and decide(stream, mixer + IS_FOCUS, np.int64(IS_FOCUS), 1 if symbol == FOCUS else 0):
        return FOCUS
    if decide(stream, mixer + IS_NEW, np.int64(IS_NEW), 1 if symbol == NEW else 0):
        return NEW
    if has_far and decide(stream, mixer + IS_FAR, np.int64(IS_FAR), 1 if symbol == FAR else 0):
        return FAR
    if decide(stream, mixer + IS_BOUNDARY, np.int64(IS_BOUNDARY), 1 if symbol == BOUNDARY else 0):
        return BOUNDARY
    return OTHER


@compiled
def _symbol_contexts(places, mesh, front, focus, other, apex, near, far, waiting, gap, history):  # type: ignore[no-untyped-def]
    """Set the contexts of a symbol at gate focus-other; `gap` is the angle class when the fan began."""
    at = mesh.cells
    around, beyond = min(front.degree[focus], 8) - 1, min(front.degree[other], 6) - 1
    since = min(waiting, 3)
    has_near = 1 if near >= 0 else 0
    reach = 8
    fold = 0
    far_gap = TURNS
    length = 0
    if waiting == 0:
        if far >= 0:
            far_gap = turn_between(at, other, focus, apex, far)
        if near >= 0:
            square = max(square_between(at, focus, other), 1)
            x = at[focus, 0] + at[other, 0] - at[apex, 0] - at[near, 0]
            y = at[focus, 1] + at[other, 1] - at[apex, 1] - at[near, 1]
            z = at[focus, 2] + at[other, 2] - at[apex, 2] - at[near, 2]
            reach = min(length_of((x * x + y * y + z * z) * 16 // square), 7)
            nx, ny, nz = normal_of(at, focus, other, apex)
            mx, my, mz = normal_of(at, other, focus, near)
            fold = min(cosine_class(nx, ny, nz, mx, my, mz), 5)
            ratio = square_between(at, focus, near) * 4 // square
            length = 0 if ratio < 2 else (1 if ratio < 12 else 2)
    last = history[0] % 5
    places[0] = SYMBOLS[0] + DECISIONS * ((gap * 4 + since) * 3 + length)
    places[1] = SYMBOLS[1] + DECISIONS * (((around * 6 + beyond) * 3 + min(waiting, 2)) * 2 + has_near)
    places[2] = SYMBOLS[2] + DECISIONS * ((gap * 8 + around) * 6 + min(waiting, 5))
    places[3] = SYMBOLS[3] + DECISIONS * (((reach * 8 + fold) * 3 + min(waiting, 2)) * 3 + length)
    places[4] = SYMBOLS[4] + DECISIONS * (((far_gap * 6 + beyond) * 2 + has_near) * 5 + last)
    places[5] = SYMBOLS[5] + DECISIONS * (history[0] * 2 + has_near)


@compiled
def walk(stream, mesh, table, faces, bits, step):  # type: ignore[no-untyped-def]
    """Code `faces` triangles and their vertices; returns a status.

    Takes time and memory proportional to `faces`, whatever bits a decoder is given.
    """
    coding = stream.state[MODE] != DECODE
    front = make_front(faces)
    waiting_edges = make_edges(3 * faces if coding else 1)
    taken = np.zeros(len(mesh.source_triangles), np.uint8)
    new_of = np.full(len(mesh.source_cells), -1, np.int64)
    history = np.zeros(1, np.int64)
    corners = np.zeros(3, np.int64)
    scratch = (
        np.zeros((FEATURES, 3), np.int64),
        np.zeros(3, np.int64),
        np.zeros(3, np.int64),
        np.zeros(3, np.int64),
        np.zeros(2, np.int64),
        np.zeros((GUESSES, 3), np.int64),
    )
    effort = np.full(1, EFFORT * faces, np.int64)
    sizes = mesh.sizes
    if coding:
        for index in range(faces):
            for side in range(3):
                p, q = mesh.source_triangles[index, side], mesh.source_triangles[index, (side + 1) % 3]
                place = place_of(waiting_edges, p, q)
                if place < 0:
                    return TOO_SLOW
                push(waiting_edges, place, p, q, 3 * index + side)
    agenda = make_agenda(faces)
    focus = np.int64(-1)
    start = 0
    last = np.int64(0)
    # Triangles that the agenda knows, and ends of gates that were closed as borders since.
    entered = borders = 0
    closed = np.zeros(6 * faces, np.int32)
    # The fan at hand: gate, its apex, closing neighbour and the apex behind it, new vertices without a position.
    fan_other = fan_apex = fan_far = np.int64(0)
    waiting = np.int64(0)
    gap = TURNS
    while sizes[0] < faces:
        gate = front.leaving[focus] if focus >= 0 else -1
        if gate < 0 and focus >= 0:
            gate = front.arriving[focus]
        if gate < 0:
            # The fan is done, and so are the positions in it: its vertices know their gaps.
            for index in range(entered, sizes[0]):
                for corner in range(3):
                    touch(agenda, front, mesh.cells, mesh.triangles[index, corner])
            entered = sizes[0]
            for index in range(borders):
                touch(agenda, front, mesh.cells, np.int64(closed[index]))
            borders = 0
            focus = next_focus(agenda)
            if focus >= 0:
                continue
        if gate < 0:
            if coding:
                while taken[mesh.starts[start] // 3]:
                    start += 1
                taken[mesh.starts[start] // 3] = 1
                fresh = sizes[1]
                for corner in range(3):
                    old = mesh.source_triangles[mesh.starts[start] // 3, (mesh.starts[start] + corner) % 3]
                    if new_of[old] < 0:
                        new_of[old] = fresh
                        mesh.old[fresh] = old
                        for axis in range(3):
                            mesh.cells[fresh, axis] = mesh.source_cells[old, axis]
                        fresh += 1
                    corners[corner] = new_of[old]
            mesh.memory[10] -= stream.state[COST]
            status = _code_start(stream, mesh, front, bits, step, corners, last, scratch, effort)
            mesh.memory[10] += stream.state[COST]
            if status != GOOD:
                return status
            last = corners[0]
            index = sizes[0]
            mesh.triangles[index, 0], mesh.triangles[index, 1], mesh.triangles[index, 2] = (
                corners[0],
                corners[1],
                corners[2],
            )
            sizes[0] = index + 1
            if not conquer(front, corners[0], corners[1], corners[2]):
                return TOO_SLOW
            continue
        p, q = np.int64(front.start[gate]), np.int64(front.end[gate])
        # The gate that closing serves first is the oldest one of its edge.
        place = place_of(front.edges, p, q)
        if place < 0:
            return TOO_SLOW
        apex = np.int64(front.apex[front.edges.first[place]])
        before, behind = front.arriving[p], front.leaving[q]
        leaves = p == focus
        near_gate, far_gate = (before, behind) if leaves else (behind, before)
        near = far = np.int64(-1)
        if near_gate >= 0:
            near = np.int64(front.start[near_gate] if leaves else front.end[near_gate])
        if far_gate >= 0:
            far = np.int64(front.end[far_gate] if leaves else front.start[far_gate])
        # A triangle needs three corners: the opposite edge of a doubled gate is no candidate.
        if near in (p, q):
            near = np.int64(-1)
        if far in (p, q):
            far = np.int64(-1)
        other = q if leaves else p
        if waiting == 0:
            gap = turn_between(mesh.cells, focus, other, apex, near) if near >= 0 else TURNS
            fan_other, fan_apex, fan_far = other, apex, far
        _symbol_contexts(stream.places, mesh, front, focus, other, apex, near, far, waiting, gap, history)

        symbol = OTHER
        c = np.int64(-1)
        if coding:
            a, b = mesh.old[p], mesh.old[q]
            place = place_of(waiting_edges, b, a)
            if place < 0:
                return TOO_SLOW
            # Triangles that were reached through another edge are still in the queue of this one.
            while waiting_edges.keys[place] != -1 and waiting_edges.first[place] >= 0:
                if not taken[waiting_edges.first[place] // 3]:
                    break
                pop(waiting_edges, place)
            if waiting_edges.keys[place] == -1 or waiting_edges.first[place] < 0:
                symbol = BOUNDARY
            else:
                number = pop(waiting_edges, place)
                taken[number // 3] = 1
                old = mesh.source_triangles[number // 3, (number % 3 + 2) % 3]
                c = new_of[old]
                if c < 0:
                    symbol = NEW
                    c = sizes[1]
                    new_of[old] = c
                    mesh.old[c] = old
                    for axis in range(3):
                        mesh.cells[c, axis] = mesh.source_cells[old, axis]
                elif c == near:
                    symbol = FOCUS
                elif c == far:
                    symbol = FAR
        mesh.memory[11] -= stream.state[COST]
        symbol = _code_symbol(stream, symbol, near >= 0, far >= 0, min(waiting, 2))
        mesh.memory[11] += stream.state[COST]
        history[0] = (history[0] * 5 + symbol) % 125
        if symbol == NEW:
            c = sizes[1]
            sizes[1] = c + 1
            waiting += 1
        elif waiting > 0:
            mesh.memory[9] -= stream.state[COST]
            end = near if symbol == FOCUS else np.int64(-1)
            behind_end = np.int64(front.apex[near_gate]) if symbol == FOCUS else np.int64(-1)
            if not _code_fan(
                stream,
                mesh,
                table,
                bits,
                step,
                focus,
                fan_other,
                fan_apex,
                end,
                behind_end,
                fan_far,
                sizes[1] - waiting,
                waiting,
                scratch,
            ):
                return OUT_OF_GRID
            waiting = np.int64(0)
            mesh.memory[9] += stream.state[COST]
        if symbol == BOUNDARY:
            close(front, p, q)
            closed[borders], closed[borders + 1] = p, q
            borders += 2
            continue
        if symbol == FOCUS:
            c = near
        elif symbol == FAR:
            c = far
        elif symbol == OTHER:
            at = mesh.cells
            x = at[p, 0] + at[q, 0] - at[apex, 0]
            y = at[p, 1] + at[q, 1] - at[apex, 1]
            z = at[p, 2] + at[q, 2] - at[apex, 2]
            c = code_known(stream, mesh, front, x, y, z, np.int64(1), np.int64(0), p, q, near, far, c, effort)
            if c >= sizes[1] or c in (p, q):
                return BAD_VERTEX
        index = sizes[0]
        mesh.triangles[index, 0], mesh.triangles[index, 1], mesh.triangles[index, 2] = q, p, c
        sizes[0] = index + 1
        if not conquer(front, q, p, c):
            return TOO_SLOW
    none = np.int64(-1)
    if waiting > 0 and not _code_fan(
        stream,
        mesh,
        table,
        bits,
        step,
        focus,
        fan_other,
        fan_apex,
        none,
        none,
        fan_far,
        sizes[1] - waiting,
        waiting,
        scratch,
    ):
        return OUT_OF_GRID
    return GOOD
