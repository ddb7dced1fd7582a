"use strict";
// Two models, two canvases, one camera. Each model is a header in JSON and one deflated block of arrays, made by
// `squeeze3d/quality/buffers.py`. Nothing is loaded from anywhere.
(() => {
  const VERTEX = `#version 300 es
    in vec3 position; in vec3 normal; in vec2 uv; in vec4 colour; in float radius;
    uniform vec3 low, size; uniform mat4 view, projection; uniform float pixels;
    out vec3 place, facing; out vec2 texel; out vec4 paint;
    vec3 decoded(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
    void main() {
      vec4 seen = view * vec4(low + size * position, 1.0);
      place = seen.xyz;
      facing = mat3(view) * normal;
      texel = uv;
      paint = vec4(decoded(colour.rgb), colour.a);
      gl_Position = projection * seen;
      gl_PointSize = max(1.0, 2.0 * radius * pixels / max(-seen.z, 1e-3));
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec3 place, facing; in vec2 texel; in vec4 paint;
    uniform sampler2D image; uniform vec4 factor; uniform vec2 light; uniform float cutoff; uniform int mode;
    uniform bool textured, shaded, discs;
    out vec4 result;
    vec3 encoded(vec3 c) { return mix(12.92 * c, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c)); }
    void main() {
      vec3 flat_normal = cross(dFdx(place), dFdy(place));
      vec4 texture_colour = texture(image, texel);
      if (discs) {
        vec2 from_centre = 2.0 * gl_PointCoord - 1.0;
        if (dot(from_centre, from_centre) > 1.0) discard;
      }
      vec4 c = paint * factor;
      if (textured) c *= texture_colour;
      if (mode == 1 && c.a < cutoff) discard;
      float alpha = mode == 2 ? clamp(c.a, 0.0, 1.0) : 1.0;
      if (shaded) {
        vec3 n = facing;
        bool bare = dot(n, n) < 0.01;
        if (bare) n = discs ? place : flat_normal;
        c.rgb *= light.x + light.y * abs(dot(normalize(n), normalize(place)));
      }
      result = vec4(encoded(clamp(c.rgb, 0.0, 1.0)) * alpha, alpha);
    }`;
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const HALF = Math.tan(settings.fov / 2);
  const START = { yaw: settings.yaw, pitch: settings.pitch, zoom: 1, target: settings.target };
  const camera = { ...START };
  const panes = [];
  let shaded = document.querySelector("#shading input:checked").value === "shaded";
  let waiting = false;
  let errors = 0;

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  function axes() {
    const [sy, cy, sp, cp] = [Math.sin(camera.yaw), Math.cos(camera.yaw), Math.sin(camera.pitch), Math.cos(camera.pitch)];
    return { right: [cy, 0, -sy], up: [-sp * sy, cp, -sp * cy], back: [cp * sy, sp, cp * cy] };
  }

  function fail(figure, error) {
    errors += 1;
    document.body.dataset.errors = errors;
    const note = document.createElement("p");
    note.className = "problem";
    note.textContent = `This view cannot be drawn: ${error.message || error}`;
    figure.append(note);
  }
  window.addEventListener("error", () => { document.body.dataset.errors = ++errors; });
  window.addEventListener("unhandledrejection", () => { document.body.dataset.errors = ++errors; });

  function program(gl) {
    const result = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
        throw new Error(gl.getShaderInfoLog(shader));
      }
      gl.attachShader(result, shader);
    }
    gl.linkProgram(result);
    if (!gl.getProgramParameter(result, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(result));
    }
    return result;
  }

  const TYPES = { uint16: Uint16Array, int8: Int8Array, uint8: Uint8Array, float32: Float32Array, uint32: Uint32Array };

  class Pane {
    constructor(figure, header, block, images) {
      this.figure = figure;
      this.canvas = figure.querySelector("canvas");
      this.header = header;
      this.block = block;
      this.images = images;
      this.gl = this.canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
      if (!this.gl) throw new Error("this browser has no WebGL 2");
      this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      this.canvas.addEventListener("webglcontextrestored", () => { this.build(); draw(); });
      this.build();
    }

    array(name) {
      const [offset, count, type] = this.header.arrays[name];
      return new TYPES[type](this.block, offset, count);
    }

    build() {
      const { gl, header } = this;
      this.program = program(gl);
      this.at = new Proxy({}, { get: (_, name) => gl.getUniformLocation(this.program, name) });
      this.vertices = gl.createVertexArray();
      gl.bindVertexArray(this.vertices);
      const layout = {
        position: [3, gl.UNSIGNED_SHORT, true, 8], normal: [3, gl.BYTE, true, 4], uv: [2, gl.FLOAT, false, 8],
        colour: [4, gl.UNSIGNED_BYTE, true, 4], radius: [1, gl.FLOAT, false, 4],
      };
      for (const [name, [size, type, normalised, stride]] of Object.entries(layout)) {
        const place = gl.getAttribLocation(this.program, name);
        if (place < 0) continue;
        if (!(name in header.arrays)) {
          gl.disableVertexAttribArray(place);
          gl.vertexAttrib4f(place, ...(name === "colour" ? [1, 1, 1, 1] : [0, 0, 0, 1]));
          continue;
        }
        gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ARRAY_BUFFER, this.array(name), gl.STATIC_DRAW);
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, size, type, normalised, stride, 0);
      }
      if ("index" in header.arrays) {
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, this.array("index"), gl.STATIC_DRAW);
      }
      this.textures = header.textures.map(([image, u, v]) => this.texture(this.images[image], u, v));
      this.white = this.texture(null);
      gl.enable(gl.DEPTH_TEST);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    }

    texture(image, u, v) {
      const { gl } = this;
      const result = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, result);
      if (!image) {
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4).fill(255));
        return result;
      }
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.SRGB8_ALPHA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
      gl.generateMipmap(gl.TEXTURE_2D);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, u);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, v);
      const sharper = gl.getExtension("EXT_texture_filter_anisotropic");
      if (sharper) gl.texParameteri(gl.TEXTURE_2D, sharper.TEXTURE_MAX_ANISOTROPY_EXT, 8);
      return result;
    }

    draw() {
      const { gl, at, canvas, header } = this;
      if (gl.isContextLost()) return;
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((x) => Math.max(1, Math.round(x * ratio)));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const { right, up, back } = axes();
      const distance = settings.reach * camera.zoom;
      const eye = back.map((b, k) => camera.target[k] + distance * b);
      const view = [0, 1, 2].flatMap((k) => [right[k], up[k], back[k], 0]);
      view.push(-dot(right, eye), -dot(up, eye), -dot(back, eye), 1);
      const aspect = width / height;
      const half = HALF * Math.max(1, 1 / aspect); // the smaller side of the picture spans the field of view
      const [near, far] = [Math.max(0.005, distance - 5), distance + 5];
      const depth = 1 / (near - far);
      const projection = [
        1 / (half * aspect), 0, 0, 0, 0, 1 / half, 0, 0, 0, 0, (near + far) * depth, -1, 0, 0, 2 * near * far * depth, 0,
      ];
      gl.viewport(0, 0, width, height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.useProgram(this.program);
      gl.bindVertexArray(this.vertices);
      gl.uniformMatrix4fv(at.view, false, view);
      gl.uniformMatrix4fv(at.projection, false, projection);
      gl.uniform3fv(at.low, header.low);
      gl.uniform3fv(at.size, header.size);
      gl.uniform1f(at.pixels, height / (2 * half));
      gl.uniform2fv(at.light, settings.light);
      gl.uniform1i(at.discs, header.mode === "points");
      for (const blended of [false, true]) {
        gl[blended ? "enable" : "disable"](gl.BLEND);
        gl.depthMask(!blended);
        for (const part of header.parts) if ((part.mode === 2) === blended) this.drawPart(part);
      }
      gl.depthMask(true);
      if (!this.seen) this.check(width, height);
    }

    drawPart(part) {
      const { gl, at, header } = this;
      gl.bindTexture(gl.TEXTURE_2D, part.texture < 0 ? this.white : this.textures[part.texture]);
      gl.uniform1i(at.textured, part.texture >= 0);
      gl.uniform4fv(at.factor, part.factor);
      gl.uniform1i(at.mode, part.mode);
      gl.uniform1f(at.cutoff, part.cutoff);
      gl.uniform1i(at.shaded, shaded && !part.unlit);
      if (header.mode === "points") gl.drawArrays(gl.POINTS, part.first, part.count);
      else gl.drawElements(gl.TRIANGLES, 3 * part.count, gl.UNSIGNED_INT, 12 * part.first);
    }

    // Whether anything arrived on the screen, once; tests read it.
    check(width, height) {
      const { gl } = this;
      const pixels = new Uint8Array(4 * width * height);
      gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
      const code = gl.getError();
      if (code) throw new Error(`WebGL error ${code}`);
      this.seen = true;
      if (pixels.some((value) => value)) {
        document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1;
      }
    }
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      for (const pane of panes) pane.draw();
    });
  }

  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  function turn(dx, dy) {
    camera.yaw -= dx * 0.008;
    camera.pitch = clamp(camera.pitch + dy * 0.008, -1.55, 1.55);
    draw();
  }

  function zoom(factor) {
    camera.zoom = clamp(camera.zoom * factor, 0.02, 6);
    draw();
  }

  function move(dx, dy, canvas) {
    const { right, up } = axes();
    const step = (2 * HALF * settings.reach * camera.zoom) / Math.min(canvas.clientWidth, canvas.clientHeight);
    camera.target = camera.target.map((t, k) => clamp(t - step * (dx * right[k] - dy * up[k]), -3, 3));
    draw();
  }

  function reset() {
    Object.assign(camera, START);
    draw();
  }

  function steer(canvas) {
    const held = new Map();
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => held.delete(event.pointerId));
    }
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before) return;
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      if (held.size === 2) {
        const [other] = [...held.values()].filter((each) => each.pointerId !== event.pointerId);
        const span = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY) || 1;
        zoom(span(before) / span(event));
        move(dx / 2, dy / 2, canvas);
      } else if (event.buttons & 6 || event.shiftKey) move(dx, dy, canvas);
      else turn(dx, dy);
      held.set(event.pointerId, event);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
      zoom(Math.exp(clamp(pixels, -300, 300) * 0.0015));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (arrow) {
        const [dx, dy] = arrow.map((x) => 12 * x);
        if (event.shiftKey) move(dx, dy, canvas);
        else turn(dx, dy);
      } else if (event.key === "+" || event.key === "=") zoom(1 / 1.15);
      else if (event.key === "-" || event.key === "_") zoom(1.15);
      else if (event.key === "0" || event.key === "Home") reset();
      else return;
      event.preventDefault();
    });
  }

  async function unpacked(text) {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  async function load(figure) {
    const [header, block] = ["header", "block"].map((part) => document.getElementById(`${figure.id}-${part}`));
    const description = JSON.parse(header.textContent);
    const data = await unpacked(block.textContent.trim());
    const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const images = await Promise.all(description.images.map(([offset, size, type]) =>
      createImageBitmap(new Blob([new Uint8Array(data, offset, size)], { type }), options)));
    panes.push(new Pane(figure, description, data, images));
    new ResizeObserver(draw).observe(figure.querySelector("canvas"));
    draw();
  }

  document.body.dataset.drawn = 0;
  document.body.dataset.errors = 0;
  document.getElementById("reset").addEventListener("click", reset);
  document.getElementById("shading").addEventListener("change", (event) => {
    shaded = event.target.value === "shaded";
    draw();
  });
  for (const figure of document.querySelectorAll("figure")) {
    steer(figure.querySelector("canvas"));
    load(figure).catch((error) => fail(figure, error));
  }
})();
