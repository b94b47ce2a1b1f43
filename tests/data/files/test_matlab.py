import base64
import zlib

import numpy as np
import pytest

from segattn.data.files import matlab

# Written by scipy.io.savemat: uint16 S (3, 4) = 0, 15, ..., 165 by rows beside a cell array, compressed; and a structure GTcls
# with a double, a uint8 matrix and a uint8 row, not compressed.
COMPRESSED = (
    "c-r%I4DoSvQZUssQ1EpO(M`+DNmU5QNi0drFUqx2D9A6)tk6+#E=o--Nlj76&$ChpF3nT$%P&(fGEy)!u`;x@GBj2&GB7e@AOkRZ`tk!QTOh8O^Ef#n;R8dG"
    "nZh%Mq&zl`gw{_p8)vX~NH!WsoSMe4dPCxhga_##(lXK~BzGjuIJV&Qgp(VlFfzn^Vz~@5#2Ic#1jCUWhck>vdUym5bR9`=x}>mi&yhP<k`&IeA7S(O6|vz("
    "vZIkd!wKzE{yvIs^2S|uX>E_*c(F0a{$aZa03h*E8U"
)
STRUCTURE = (
    "c-r%I4DoSvQZUssQ1EpO(M`+DNmU5QNi0drFUqx2D9A6)tk6+#E=o--Nlj76&$ChpF3nT$%P&(fGEy)!u`;x@GBj2&GB7e@AOkRZ`tkuO3q}S8HXzLb#7s~r"
    "Rw$nl34_GkLy~if!E6==A*eXWZm0axyp+VE%+z9-;lZitxv6<2i6xo&c@Pn2peNGvL23euQj39dKrxX04h#tU+0g7~Lb4wOIDuFIi&wz@Kr)9Di#g0l<}ktR"
    "V&)h5&j`_PfJZ+gl3O79nSfdu7yxuRD);"
)


def saved(path, text):
    path.write_bytes(zlib.decompress(base64.b85decode(text)))
    return path


def error_of(path):
    """The ValueError that reading gives, empty if it gives none; another error is a failure."""
    try:
        matlab.read(path)
    except ValueError as error:
        return str(error)
    return ""


def test_a_compressed_matrix_of_words_is_read(tmp_path):
    variables = matlab.read(saved(tmp_path / "a.mat", COMPRESSED))
    assert list(variables) == ["S"]
    assert variables["S"].dtype == np.uint16
    assert variables["S"].tolist() == [[0, 15, 30, 45], [60, 75, 90, 105], [120, 135, 150, 165]]


def test_a_structure_is_read_by_field(tmp_path):
    fields = matlab.read(saved(tmp_path / "a.mat", STRUCTURE))["GTcls"]
    assert fields["Segmentation"].tolist() == [[0, 15, 255], [3, 20, 1]]
    assert fields["Boundaries"].tolist() == [[0], [0]]
    assert fields["CategoriesPresent"].tolist() == [[3, 15]]


@pytest.mark.parametrize("text", [COMPRESSED, STRUCTURE])
def test_damage_is_an_error_that_names_the_file_or_changes_numbers_only(tmp_path, text):
    content = saved(tmp_path / "a.mat", text).read_bytes()
    generator = np.random.default_rng(5)
    errors = 0
    for trial in range(200):
        damaged = bytearray(content[: generator.integers(len(content))] if trial % 4 == 0 else content)
        if trial % 4:
            damaged[int(generator.integers(128, len(damaged)))] = int(generator.integers(256))
        (tmp_path / "b.mat").write_bytes(damaged)
        errors += "b.mat" in error_of(tmp_path / "b.mat")
    assert errors > 50


def test_what_is_no_matlab_file_is_named(tmp_path):
    (tmp_path / "c.mat").write_bytes(b"\x89HDF" * 99)
    with pytest.raises(ValueError, match=r"c\.mat: not a MATLAB file of level 5"):
        matlab.read(tmp_path / "c.mat")
