/* Puts a chart in the place of each still figure, from the JSON beside it. */
'use strict';
(function () {
  const light = ['#0072b2', '#d55e00', '#009e73', '#b0578a', '#b87c00',
    '#56b4e9', '#222222', '#a89b00'];
  const dark = ['#3d9bdc', '#f08a3c', '#35bd93', '#dd9cc0', '#e69f00',
    '#7cc8f5', '#e6edf3', '#f0e442'];
  const night = matchMedia('(prefers-color-scheme: dark)');
  const charts = [];

  function style(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name);
  }

  /* Bars through points, the budget's line, an arrow to better results. */
  const marks = {
    id: 'marks',
    beforeDatasetsDraw(chart) {
      const c = chart.ctx, x = chart.scales.x, y = chart.scales.y;
      const area = chart.chartArea, spec = chart.config.options.spec;
      c.save();
      c.beginPath();
      c.rect(area.left, area.top, area.right - area.left,
        area.bottom - area.top);
      c.clip();
      spec.series.forEach(function (s, i) {
        const low = s.yLow || s.xLow, high = s.yHigh || s.xHigh;
        if (!low || !chart.isDatasetVisible(i)) {
          return;
        }
        c.strokeStyle = chart.data.datasets[i].borderColor;
        c.globalAlpha = 0.55;
        c.beginPath();
        for (let k = 0; k < low.length; k++) {
          const px = x.getPixelForValue(s.x[k]);
          const py = y.getPixelForValue(s.y[k]);
          c.moveTo(s.yLow ? px : x.getPixelForValue(low[k]),
            s.yLow ? y.getPixelForValue(low[k]) : py);
          c.lineTo(s.yLow ? px : x.getPixelForValue(high[k]),
            s.yLow ? y.getPixelForValue(high[k]) : py);
        }
        c.stroke();
      });
      c.globalAlpha = 1;
      if (spec.line !== null) {
        const px = x.getPixelForValue(spec.line);
        c.strokeStyle = c.fillStyle = style('--muted');
        c.setLineDash([6, 4]);
        c.beginPath();
        c.moveTo(px, area.top);
        c.lineTo(px, area.bottom);
        c.stroke();
        const left = px > area.right - 90;
        c.textAlign = left ? 'right' : 'left';
        c.fillText(spec.lineLabel || '', px + (left ? -6 : 6),
          area.bottom - 8);
      }
      c.restore();
    }
  };

  function range(spec, axis) {
    let low = Infinity, high = -Infinity;
    spec.series.forEach(function (s) {
      [s[axis], s[axis + 'Low'], s[axis + 'High']].forEach(function (v) {
        (v || []).forEach(function (value) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        });
      });
    });
    if (axis === 'x' && spec.line !== null) {
      low = Math.min(low, spec.line);
      high = Math.max(high, spec.line);
    }
    const air = high > low ? 0.05 * (high - low) : Math.abs(high) * 0.1 || 1;
    return {
      min: low >= 0 ? Math.max(low - air, 0) : low - air, max: high + air
    };
  }

  function dataset(s, index) {
    const color = (night.matches ? dark : light)[s.color];
    return {
      label: s.label,
      data: s.x.map(function (x, i) {
        return { x: x, y: s.y[i] };
      }),
      showLine: s.line,
      borderColor: color,
      backgroundColor: s.faint ? color + '90' : color,
      borderDash: s.dashed ? [6, 4] : [],
      borderWidth: s.line ? 2 : s.marker === 'crossRot' ? 1.6 : 1,
      pointStyle: s.marker === 'none' ? 'line' : s.marker,
      pointRadius: s.marker === 'none' ? 0 : s.faint ? 2.6 : 5,
      pointBorderColor: s.marker === 'none' ? color :
        s.marker === 'crossRot' ? color + (s.faint ? '90' : '') :
          s.faint ? 'transparent' : style('--card'),
      pointHoverRadius: s.marker === 'none' ? 0 : 7,
      order: -index /* later ones on top */
    };
  }

  const corners = {
    'upper left': '\u2196', 'upper right': '\u2197', 'lower left': '\u2199',
    'lower right': '\u2198'
  };

  function number(value) {
    return Number(value.toPrecision(5)).toString();
  }

  function options(spec) {
    const ink = style('--ink'), rule = style('--rule');
    function axis(name, text) {
      const span = range(spec, name);
      return {
        type: 'linear', min: span.min, max: span.max,
        title: { display: true, text: text, color: ink },
        ticks: {
          color: ink,
          includeBounds: false, /* the ends of the air are no round numbers */
          callback: number
        },
        grid: { color: rule, borderColor: rule }
      };
    }
    return {
      spec: spec, animation: false, maintainAspectRatio: false,
      scales: {
        x: axis('x', spec.x + (spec.better ? '   ' + corners[spec.better] +
          ' better' : '')),
        y: axis('y', spec.y)
      },
      plugins: {
        legend: {
          align: 'start',
          labels: {
            color: ink, usePointStyle: true, boxHeight: 7,
            sort: function (a, b) {
              return a.datasetIndex - b.datasetIndex;
            }
          }
        },
        tooltip: {
          callbacks: {
            label: function (item) {
              const s = spec.series[item.datasetIndex];
              const hover = s.hover && s.hover[item.dataIndex];
              const head = s.label + ': ' + number(item.parsed.x) + ', ' +
                number(item.parsed.y);
              return hover ? [head].concat(hover.split(' | ')) : head;
            }
          }
        }
      }
    };
  }

  /* For whoever tests pages: how many pixels the chart has. */
  function count(canvas) {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width,
      canvas.height).data;
    let n = 0;
    for (let i = 3; i < data.length; i += 4) {
      n += data[i] > 0;
    }
    canvas.dataset.drawn = n;
  }

  function draw(figure) {
    const source = figure.querySelector('script');
    const spec = JSON.parse(source.textContent);
    const canvas = document.createElement('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label',
      figure.querySelector('figcaption').textContent);
    figure.querySelector('.frame').appendChild(canvas);
    figure.classList.add('live');
    charts.push(new Chart(canvas, {
      type: 'scatter',
      data: { datasets: spec.series.map(dataset) },
      options: options(spec),
      plugins: [marks]
    }));
    count(canvas);
  }

  function drawAll() {
    charts.splice(0).forEach(function (chart) {
      const canvas = chart.canvas;
      chart.destroy();
      canvas.remove();
    });
    document.querySelectorAll('figure.chart').forEach(draw);
  }

  addEventListener('error', function (event) {
    document.documentElement.dataset.error = event.message;
  });
  drawAll();
  night.addEventListener('change', drawAll);
})();
