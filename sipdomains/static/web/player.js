// The waveform of a recording follows the sound, and a click into it leads there.
(() => {
  "use strict";
  const soundOf = (wave) => wave.closest(".player").querySelector("audio");

  function show(audio) {
    const player = audio.closest(".player");
    const played = player && player.querySelector(".wave .played");
    if (played && audio.duration) played.setAttribute("width", `${(100 * audio.currentTime) / audio.duration}%`);
  }

  document.addEventListener("click", (event) => {
    const wave = event.target.closest(".wave");
    if (!wave) return;
    const audio = soundOf(wave);
    const box = wave.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const seek = () => {
      audio.currentTime = share * audio.duration;
      show(audio);
    };
    if (audio.readyState > 0) seek();
    else {
      audio.addEventListener("loadedmetadata", seek, { once: true });
      audio.preload = "metadata";
      audio.load();
    }
  });
  // These do not bubble.
  for (const name of ["timeupdate", "seeked", "ended"]) {
    document.addEventListener(name, (event) => show(event.target), true);
  }
})();
