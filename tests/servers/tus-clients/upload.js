// Uploads a file with tus-js-client: upload.js URL FILE CHUNK [terminate]. Prints the upload's URL, then how it ended.
import fs from "node:fs";
import * as tus from "tus-js-client";

const [endpoint, file, chunk, then] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  chunkSize: chunk === "all" ? Infinity : Number(chunk),
  uploadSize: fs.statSync(file).size,
  retryDelays: [0, 50, 100],
  metadata: { filename: file, label: "Straße" },
  onSuccess: () => console.log("finished"),
  onError: (error) => {
    console.log(String(error));
    process.exitCode = 1;
  },
  onUploadUrlAvailable: () => console.log(new URL(upload.url).pathname),
  onChunkComplete: async () => {
    if (then === "terminate") {
      await upload.abort(true);
      console.log("terminated");
    }
  },
});
upload.start();
