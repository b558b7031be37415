// Starts the program under test and keeps what it says.

import { spawn } from 'node:child_process';

const PATIENCE_MILLIS = 30000;

export class Cart {
  constructor(binary, root, args) {
    this.output = '';
    this.process = spawn(binary, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    process.on('exit', () => this.abandon());
    this.exited = new Promise((resolve, reject) => {
      this.process.on('exit', (code, signal) => resolve(code ?? signal));
      this.process.on('error', reject);
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.output += text;
      });
    }
  }

  // The address it prints, once it has.
  async address() {
    let ended = null;
    this.exited.then((code) => {
      ended = code;
    });
    for (const start = Date.now(); Date.now() - start < PATIENCE_MILLIS; ) {
      const [url] = this.output.match(/http:\/\/127\.0\.0\.1:\d+/) ?? [];
      if (url) {
        return url;
      }
      if (ended !== null) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`no line with the page's address, exit ${ended}; it said:\n${this.output}`);
  }

  signal(name) {
    this.process.kill(name);
  }

  // Exit code, or the signal that ended it, or 'still running'.
  async end() {
    let timer;
    const patience = new Promise((resolve) => {
      timer = setTimeout(() => resolve('still running'), PATIENCE_MILLIS);
    });
    const code = await Promise.race([this.exited, patience]);
    clearTimeout(timer);
    return code;
  }

  abandon() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
    }
  }
}
