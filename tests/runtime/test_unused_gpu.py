from mtkit.runtime.unused_gpu import unseen_gpu


def test_a_gpu_that_tensorflow_does_not_see(tmp_path, monkeypatch):
    assert unseen_gpu("auto", tmp_path) == ""
    (tmp_path / "nvidiactl").touch()
    assert unseen_gpu("auto", tmp_path) == ""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr("mtkit.runtime.unused_gpu.tf.config.list_physical_devices", lambda kind: [])
    assert f"{tmp_path}/nvidia0 is there, but TensorFlow sees no GPU" in unseen_gpu("auto", tmp_path)
    assert unseen_gpu("one_device", tmp_path) == ""
    monkeypatch.setattr("mtkit.runtime.unused_gpu.tf.config.list_physical_devices", lambda kind: [kind])
    assert unseen_gpu("auto", tmp_path) == ""
