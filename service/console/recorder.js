// Runs where sound is processed: hands on what is heard, some thousand samples at a time.

const BLOCK = 4096;

class Recorder extends AudioWorkletProcessor {
  block = new Float32Array(BLOCK);
  filled = 0;

  process([[heard]]) {
    for (const sample of heard ?? []) {
      this.block[this.filled++] = sample;
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
